"""Batches of an epoch, read by worker processes; nothing in them depends on who reads them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch.utils.data import DataLoader

from camscope.errors import CamscopeWarning, InputError
from camscope.images import Photo, Preprocessing
from camscope.training.augmenting import Augmentation
from camscope.training.labelled import LIMIT, LabelledImages, Skipped, check_limit
from camscope.training.randomness import draws, shuffled

MEGABYTE = 2**20

Transform: TypeAlias = Preprocessing | Augmentation
"""From a photo to the model's input: always the same, or by the random numbers of image and epoch."""


class Batch(NamedTuple):
    """Some images as the model takes them.

    Attributes:
        x: the model's input, `batch channel height width`, float32.
        y: the class of each image, `batch`, int64; where it may have several: which, `batch class`, float32.
        indices: which images they are.
    """

    x: torch.Tensor
    y: torch.Tensor
    indices: torch.Tensor


class _Key(NamedTuple):
    epoch: int
    indices: Sequence[int]


class _Answer(NamedTuple):
    batch: Batch | None
    unreadable: dict[int, str]


class Batches:
    """The batches of every epoch of some labelled images.

    The order is a function of (seed, epoch), the changes of an image one of (seed, epoch, image). So nothing is kept
    between epochs, the number of workers changes nothing, and no random state of torch, NumPy or Python is touched.

    An image that cannot be read is left out of its batch, with a warning when it is first met.

    Args:
        labelled: the images.
        indices: which of them.
        transform: what is done to each photo: the model's `Preprocessing`, or an `Augmentation`.
        batch_size: images in a batch.
        seed: of the order and of the changes.
        workers: processes that read ahead; 0 reads in this one.
        training: whether each epoch has another order, and leaves out the rest that fills no batch (unless there is no
            other batch): batch norm has little to go by in it. Without, all images come in the order of ``indices``.
        pin_memory: whether tensors are laid where a GPU can fetch them by itself.
        cache: how many MB of decoded photos are kept, in all processes together.
        unreadable: the share of the images that may be unreadable.

    Raises:
        InputError: there are no images, or a number is out of its range.
    """

    def __init__(
        self,
        labelled: LabelledImages,
        indices: Sequence[int] | Int[np.ndarray, " chosen"],
        *,
        transform: Transform,
        batch_size: int,
        seed: int = 0,
        workers: int = 0,
        training: bool = False,
        pin_memory: bool = False,
        cache: int = 256,
        unreadable: float = LIMIT,
    ) -> None:
        self.indices: Int[np.ndarray, " chosen"] = np.asarray(indices, dtype=np.int64).reshape(-1)
        if not len(self.indices):
            raise InputError("There are no images to make batches of: the split is empty.")
        if batch_size < 1 or workers < 0:
            raise InputError(
                f"batch_size is at least 1 and workers at least 0; got {batch_size} and {workers}."
            )
        self.labelled, self.batch_size, self.seed, self.training = labelled, batch_size, seed, training
        self.unreadable: dict[int, str] = {}
        self._limit = unreadable
        self._keys: list[_Key] = []
        self._loader: DataLoader[_Answer] = DataLoader(
            _Reader(labelled, transform, seed, cache * MEGABYTE // max(1, workers)),  # type: ignore[arg-type]
            sampler=self._keys,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else a number is drawn from torch's own, which belongs to the model
        )

    def __len__(self) -> int:
        """How many batches an epoch has."""
        whole, rest = divmod(len(self.indices), self.batch_size)
        return whole if self.training and whole else whole + bool(rest)

    def epoch(self, k: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch; one epoch at a time.

        Args:
            k: which epoch, from 0.
            start: how many batches are left out because they were done before.

        Raises:
            InputError: too many images cannot be read, or all of a batch.
        """
        chosen = self.indices[shuffled(len(self.indices), self.seed, k)] if self.training else self.indices
        size = self.batch_size
        self._keys[:] = [_Key(k, chosen[i * size : (i + 1) * size].tolist()) for i in range(start, len(self))]
        for batch, unreadable in self._loader:
            self._note(unreadable)
            if batch is None:
                raise InputError(f"No image of a batch can be read: {'; '.join(unreadable.values())}")
            yield batch

    def _note(self, unreadable: dict[int, str]) -> None:
        new = {i: reason for i, reason in unreadable.items() if i not in self.unreadable}
        self.unreadable |= new
        for index, reason in new.items():
            warnings.warn(
                f"'{self.labelled.names[index]}' is left out: {reason}", CamscopeWarning, stacklevel=3
            )
        lost = [Skipped(self.labelled.names[i], reason) for i, reason in self.unreadable.items()]
        check_limit(lost, len(self.indices), self._limit)


class _Reader:
    """What a worker process has: it answers the key of a batch with the batch."""

    def __init__(self, labelled: LabelledImages, transform: Transform, seed: int, room: int) -> None:
        self._labelled, self._transform, self._seed = labelled, transform, seed
        self._cache: dict[int, Photo] = {}
        self._room = room

    def __getitem__(self, key: _Key) -> _Answer:
        inputs, read, unreadable = [], [], {}
        for index in key.indices:
            try:
                inputs.append(self._input(key.epoch, index))
                read.append(index)
            except InputError as error:
                unreadable[index] = str(error)
        if not read:
            return _Answer(None, unreadable)
        targets = self._labelled.targets[read]
        y = targets.astype(np.float32) if self._labelled.multilabel else targets.argmax(1)
        batch = Batch(torch.from_numpy(np.stack(inputs)), torch.from_numpy(y), torch.tensor(read))
        return _Answer(batch, unreadable)

    def _input(self, epoch: int, index: int) -> Float32[np.ndarray, "channel height width"]:
        photo = self._photo(index)
        if isinstance(self._transform, Augmentation):
            return self._transform(photo, draws(self._seed, epoch, index))
        return self._transform(photo)

    def _photo(self, index: int) -> Photo:
        if index in self._cache:
            return self._cache[index]
        photo = self._labelled.photo(index)
        height, width = photo.size
        if 3 * height * width <= self._room:
            self._room -= 3 * height * width
            self._cache[index] = photo
        return photo


def _as_it_is(answer: Any) -> Any:
    return answer
