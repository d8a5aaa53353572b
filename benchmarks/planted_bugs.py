"""The bugs that `benchmarks.mutants` plants: where, what stands there, what in its place, and who should notice.

Each is one that somebody could write: a wrong index, a lost sign, a forgotten scale, a condition turned round. When the
code it is planted in changes, the run says that it is stale: plant it again in the new code.
"""

from __future__ import annotations

from benchmarks.planted_in_measures import BUGS as IN_MEASURES
from benchmarks.planting import Bug
from benchmarks.planting import bugs_in as _in

_PIXELS = ("tests/results/test_figure_pixels.py",)
_WORDS = ("tests/results/test_word_colours.py",)
_SAVED = ("tests/results/test_saved_arrays.py",)
_FORMULAS = ("tests/methods/test_formulas.py",)
_NOTES = ("tests/engine/test_notes.py",)
_PLANNER = ("tests/composition/test_planner.py",)
_WRAPPERS = ("tests/composition/test_wrappers.py",)
_FUSION = ("tests/composition/test_fusion.py",)
_TARGETS = ("tests/test_targets.py",)

BUGS: list[Bug] = [
    # ------------------------------------------------------------------ figures
    *_in(
        "results/figures/photos.py",
        _PIXELS,
        (
            "every panel by target shows map 0",
            "            heat[t],\n            e.titles",
            "            heat[0],\n            e.titles",
        ),
        (
            "figures by method show the first target in every block",
            "heat[method, layer][shown.index(t)]",
            "heat[method, layer][0]",
        ),
        (
            "every channel's panel shows the first channel",
            "                heat[i],\n",
            "                heat[0],\n",
        ),
        (
            "channels of the first image for every image",
            "kept.activations[image : image + 1, target]",
            "kept.activations[:1, target]",
        ),
        (
            "channels of the first target for every target",
            "kept.activations[image : image + 1, target]",
            "kept.activations[image : image + 1, 0]",
        ),
        ("channels are named by their rank", 'f"channel {int(k)}"', 'f"channel {i}"'),
        (
            "overlays show target 0 whatever is asked",
            "e.raw[method, layer][:, t : t + 1]",
            "e.raw[method, layer][:, :1]",
        ),
        (
            "notes of the first image under every image",
            "            e.status[method, layer][image][t].words,\n",
            "            e.status[method, layer][0][t].words,\n",
        ),
        (
            "notes of the first image under every image's methods",
            "note = e.status[method, layer][image][t].words\n",
            "note = e.status[method, layer][0][t].words\n",
        ),
        (
            "probabilities of the first image under every image",
            "            numbers_of(e, image, t),\n",
            "            numbers_of(e, 0, t),\n",
        ),
        (
            "rows of methods show the first layer in every column",
            "panel(t, m, at, *above[t]) for at in e.layers",
            "panel(t, m, e.layers[0], *above[t]) for at in e.layers",
        ),
        (
            "an instance's box is turned on its side",
            "return [(left, upper, right, lower)] if",
            "return [(upper, left, lower, right)] if",
        ),
        ("boxes of the first image on every image", "e[image].boxes(method", "e[0].boxes(method"),
        (
            "signed maps get the colours of unsigned ones",
            '**colours_of(scale, signed=scale == "signed")',
            "**colours_of(scale, signed=False)",
        ),
        (
            "overlays forget what they are asked for in colour",
            "heat, signed=signed, **style)",
            'heat, signed=signed, opacity=style["opacity"])',
        ),
    ),
    *_in(
        "results/figures/notebook.py",
        _PIXELS,
        ("a notebook shows the last image", "photos.first_figure(e)", "photos.first_figure(e[len(e) - 1])"),
    ),
    *_in(
        "results/figures/texts.py",
        _WORDS,
        ("every row of words has the values of target 0", "values=shown[t]", "values=shown[0]"),
        (
            "every row of words is of the first method and layer",
            "e.token_evidence(image, *key))\n        shown",
            "e.token_evidence(image, *keys[0]))\n        shown",
        ),
        (
            "words that are not evidence for or against are signed",
            "scale is None and all(e.facts[key[0]].rectified for key in keys)",
            "scale is None",
        ),
    ),
    *_in(
        "render/parts.py",
        _PIXELS,
        (
            "heatmaps stand on their heads",
            "panel.heatmap[rows[:, None], columns]",
            "panel.heatmap[rows[::-1][:, None], columns]",
        ),
    ),
    *_in(
        "render/overlay.py",
        ("tests/test_display.py", "tests/render/test_overlay.py"),
        (
            "signed overlays get the colours of unsigned ones",
            "resolve(colormap, signed))), opacity)",
            "resolve(colormap, False))), opacity)",
        ),
    ),
    *_in(
        "render/words_figure.py",
        _WORDS,
        (
            "every row of words has the colours of the first",
            "colours = painted(row.values, chosen)",
            "colours = painted(rows[0].values, chosen)",
        ),
    ),
    *_in(
        "render/words_html.py",
        _WORDS,
        (
            "words in HTML have each other's colours",
            "painted(row.values, colormap), strict=True",
            "painted(row.values[::-1], colormap), strict=True",
        ),
    ),
    # ------------------------------------------------------------------ results
    *_in(
        "results/maps.py",
        _PIXELS,
        ("scale=batch takes image 0 always", '[image if scale == "batch" else 0]', "[0]"),
        (
            "heatmaps on the photo are of the first image",
            "self.raw[key][image : image + 1]\n",
            "self.raw[key][:1]\n",
        ),
        (
            "evidence against is hidden in signed heatmaps",
            'relu(maps) if wants and scale != "signed"',
            "relu(maps) if wants",
        ),
        (
            "NaN reaches the heatmap",
            "xp.where(xp.isfinite(maps), maps, xp.zeros_like(maps))",
            "xp.where(xp.isfinite(maps), maps, maps)",
        ),
        (
            "probabilities of the first image for every image",
            "self.probabilities[image, index]",
            "self.probabilities[0, index]",
        ),
    ),
    *_in(
        "results/map_data.py",
        _PIXELS,
        (
            "one image of a batch has the statuses of the first",
            "{key: flags[list(some)] for key, flags",
            "{key: flags[: len(some)] for key, flags",
        ),
    ),
    *_in(
        "results/status.py",
        _NOTES,
        ("the no-gradient flag is turned round", "if gradient_free[t]:", "if not gradient_free[t]:"),
        ("a flat map has no status", "        if flat[t]:\n", "        if False:\n"),
        (
            "maps with evidence against are never all-negative",
            "rectified and high[t] <= 0",
            "rectified and high[t] > 0",
        ),
        (
            "a map that is zero where it is not negative is called ok",
            "rectified and high[t] <= 0",
            "rectified and high[t] < 0",
        ),
    ),
    *_in(
        "results/spans.py",
        _WORDS,
        (
            "texts padded on the left have their heatmaps at the left edge",
            "[*[padding] * text.first, own, *[padding] * after]",
            "[own, *[padding] * (text.first + after)]",
        ),
        (
            "a text's map is not cut to its own part",
            "slice(*spans[image].tolist())",
            "slice(*spans[0].tolist())",
        ),
    ),
    *_in(
        "results/saving.py",
        _SAVED,
        (
            "saved heatmaps are zero",
            "to_numpy(e.heatmaps(method, layer)).astype(np.float32)",
            "0 * to_numpy(e.heatmaps(method, layer)).astype(np.float32)",
        ),
        (
            "saved heatmaps on the photo are zero",
            "e.photo_heatmaps(0, method, layer)[None].astype(np.float32)",
            "0 * e.photo_heatmaps(0, method, layer)[None].astype(np.float32)",
        ),
        ("saved maps lose their sign", "= to_numpy(maps)\n", "= abs(to_numpy(maps))\n"),
        ("saved spans are of nothing", "= e.spans[method, layer]\n", "= 0 * e.spans[method, layer]\n"),
        (
            "the scores of a saved summary are those of the first image",
            '"score": float(e.scores[image, t])',
            '"score": float(e.scores[0, t])',
        ),
    ),
    *_in(
        "results/loading_saved.py",
        _SAVED,
        (
            "the no-gradient flag is read back turned round",
            "status == Status.NO_GRADIENT for status",
            "status != Status.NO_GRADIENT for status",
        ),
    ),
    # ------------------------------------------------------------------ notes and the engine
    *_in(
        "engine/notes.py",
        _NOTES,
        ("completeness is never warned of", "        if gap > _COMPLETE:\n", "        if False:\n"),
        ("completeness is judged by the best of the batch", ".max(full.gap))", ".min(full.gap))"),
        ("negative activations are always told", "        if careful and signed:\n", "        if careful:\n"),
        (
            "same maps of nonnegative activations are never told",
            "(facts.of_nonnegative and signed)",
            "facts.of_nonnegative",
        ),
        (
            "same maps of logits are told of other scores",
            "(facts.of_logits and not logits)",
            "(facts.of_logits and logits)",
        ),
        (
            "same maps are told where the ReLU of the layer is pooled",
            " and evidence.head.pools_activations else None",
            " else None",
        ),
        ("guided-gradcam does not warn", "self.add(m.warning, urgent=True)", "self.add(m.warning)"),
        (
            "tensors of fractions always look unprepared",
            "low >= 0 and high <= 1 and darkest < -_NORMALISED",
            "low >= 0 and high <= 1",
        ),
        (
            "photos are told to be unprepared",
            "if not prepared and info.preprocessing is not None",
            "if info.preprocessing is not None",
        ),
        ("the size of a tensor is never told", "if size != preprocessing.input_size:", "if False:"),
    ),
    *_in(
        "engine/gathering.py",
        _NOTES,
        (
            "a gradient of zero is seen wherever a map is not zero",
            "blank = blank & to_numpy(",
            "blank = ~blank & to_numpy(",
        ),
        (
            "a map of zeros is always the gradient's fault",
            "blank = blank & to_numpy(xp.all(",
            "blank = blank | to_numpy(xp.all(",
        ),
    ),
    *_in(
        "engine/gathering.py",
        ("tests/test_explanation.py", "tests/test_display.py"),
        (
            "the weakest channels are kept",
            "descending=True)[:, :, :count]",
            "descending=False)[:, :, :count]",
        ),
    ),
    *_in(
        "engine/copies.py",
        _NOTES,
        (
            "every size counts",
            "(classes == top[:, None]) | (classes < 0)",
            "(classes == top[:, None]) | (classes > -2)",
        ),
    ),
    *_in(
        "engine/copies.py",
        _WRAPPERS,
        ("maps of copies are summed, not averaged", "{layer: total / count for", "{layer: total for"),
        ("maps of flipped copies are not flipped back", "copy.restore(maps[rows])", "maps[rows]"),
        (
            "copies get each other's targets",
            "np.tile(np.arange(len(batch)), len(group))",
            "np.repeat(np.arange(len(batch)), len(group))",
        ),
    ),
    *_in(
        "engine/passes.py",
        _WRAPPERS,
        (
            "compositions that change the target change nothing",
            "targets = resolved.by(around)",
            "targets = resolved.by(())",
        ),
    ),
    *_in(
        "engine/planner.py",
        _FUSION,
        (
            "layers are fused in the wrong order",
            "[inner[layer.name] for layer in layers]",
            "[inner[layer.name] for layer in reversed(layers)]",
        ),
    ),
    *_in(
        "engine/planner.py",
        _FUSION,
        ("a method is shown at layers it was not wanted at", "if name in wanted} or found", "} or found"),
    ),
    *_in(
        "engine/length_buckets.py",
        ("tests/test_text.py",),
        (
            "texts of several lengths come back in another order",
            'self.order = np.argsort(rows, kind="stable")',
            "self.order = np.arange(len(rows))",
        ),
    ),
    *_in(
        "engine/requests.py",
        _PLANNER,
        (
            "methods with other targets share one backward",
            "return tuple(modifier.kind for modifier in around)",
            "return ()",
        ),
    ),
    # ------------------------------------------------------------------ methods
    *_in(
        "methods/gradient.py",
        _FORMULAS,
        (
            "Grad-CAM sums the gradient where it should average",
            'return directions.means()\n    return reduce(_gradients(evidence), "b t c ... -> b t c", "mean")',
            'return directions.means()\n    return reduce(_gradients(evidence), "b t c ... -> b t c", "sum")',
        ),
        (
            "HiResCAM has the wrong sign",
            "return channel_sum(_gradients(evidence), evidence.activations)",
            "return -channel_sum(_gradients(evidence), evidence.activations)",
        ),
        (
            "LayerCAM keeps negative gradients",
            "return channel_sum(_positive(evidence), evidence.activations)",
            "return channel_sum(_gradients(evidence), evidence.activations)",
        ),
        ("ShapleyCAM adds the second-order term", "weights - correction / 2", "weights + correction / 2"),
        ("the α of Grad-CAM++ has 1 for 2", "quotient * total + 2", "quotient * total + 1"),
        (
            "guided Grad-CAM keeps evidence against",
            "resize(relu(grad_cam(evidence))",
            "resize((grad_cam(evidence))",
        ),
    ),
    *_in(
        "methods/ablation.py",
        _FORMULAS,
        (
            "Ablation-CAM has the wrong sign where it runs the model",
            "answers[-1:] - answers, order",
            "answers - answers[-1:], order",
        ),
        (
            "Ablation-CAM divides by the signed score",
            "xp.ones_like(scores), xp.abs(scores))",
            "xp.ones_like(scores), scores)",
        ),
        (
            "LIFT-CAM has the wrong sign",
            "return channel_sum(_shares(head), evidence.activations)",
            "return -channel_sum(_shares(head), evidence.activations)",
        ),
        (
            "the Gaussian of Recipro-CAM is too wide",
            "distance > 1, 0.0, 0.5 - 0.25 * distance",
            "distance > 1, 0.0, 0.5 - 0.2 * distance",
        ),
    ),
    *_in(
        "methods/polycam.py",
        _FORMULAS,
        ("Poly-CAM± takes off what it should add", "relu(kept + _lost(", "relu(kept - _lost("),
    ),
    *_in(
        "methods/groupcam.py",
        _FORMULAS,
        ("Group-CAM counts what is lost", "relu(p[:-1] - p[-1:])", "relu(p[-1:] - p[:-1])"),
    ),
    *_in(
        "methods/rise.py",
        _FORMULAS,
        ("RISE is not divided by p", "return total / (n * p)", "return total / n"),
    ),
    *_in(
        "methods/opticam.py",
        _FORMULAS,
        ("Opti-CAM keeps the worst mask it met", "better = score > highest", "better = score < highest"),
    ),
    *_in(
        "methods/fullgrad.py",
        _FORMULAS,
        ("FullGrad's terms keep their sign", "magnitude = xp.abs(term)", "magnitude = term"),
    ),
    *_in(
        "methods/attention.py",
        _FORMULAS,
        (
            "rollout multiplies its layers in the wrong order",
            "for layer in reversed(attention.layers):\n        A =",
            "for layer in attention.layers:\n        A =",
        ),
        (
            "Grad-ECLIP has the wrong sign",
            "evidence_of * loosened[:, None]",
            "-evidence_of * loosened[:, None]",
        ),
        (
            "prefix tokens are part of the map",
            "patches = row[..., attention.prefix :]",
            "patches = row[..., : row.shape[-1] - attention.prefix]",
        ),
    ),
    *_in(
        "methods/pca.py",
        _FORMULAS,
        (
            "Eigen-CAM's sign is turned round",
            "xp.where(agreement < 0, -projection, projection)",
            "xp.where(agreement > 0, -projection, projection)",
        ),
    ),
    *_in(
        "methods/scorecam.py",
        _FORMULAS,
        ("Score-CAM weighs by logits", "normalised).probabilities\n", "normalised).scores\n"),
    ),
    # ------------------------------------------------------------------ arrays
    *_in(
        "arrays/normalise.py",
        ("tests/test_scaling.py",),
        ("scale=image is scale=map", '"image": 1,', '"image": 2,'),
        (
            "a flat signed map is all evidence against",
            'level = 0.5 if scale == "signed" else 0.0',
            "level = 0.0",
        ),
    ),
    *_in(
        "arrays/resize.py",
        ("tests/test_resample.py",),
        (
            "resizing aligns corners of pixels, not their centres",
            "(np.arange(n_out) + 0.5) * (n_in / n_out)",
            "(np.arange(n_out) + 0.0) * (n_in / n_out)",
        ),
        (
            "the crop is undone in the wrong direction",
            "* scale[axis] + offset[axis]",
            "* scale[axis] - offset[axis]",
        ),
    ),
    *_in(
        "arrays/localise.py",
        ("tests/test_localise.py",),
        ("the smallest component is kept", "1 + np.argmax(np.bincount", "1 + np.argmin(np.bincount"),
        ("the smallest box comes first", "np.argsort(-sizes", "np.argsort(sizes"),
        (
            "corners do not join components",
            "ndimage.label(mask, structure=np.ones((3,) * mask.ndim))",
            "ndimage.label(mask)",
        ),
        (
            "masks are by absolute value, not by share of the maximum",
            "values >= threshold * peak if",
            "values >= threshold if",
        ),
    ),
    # ------------------------------------------------------------------ composition
    *_in(
        "composition/averaging.py",
        _WRAPPERS,
        (
            "squares and cubes of gradients change places",
            "gradient_powers=(second, third)",
            "gradient_powers=(third, second)",
        ),
    ),
    *_in(
        "composition/wrappers.py",
        _WRAPPERS,
        (
            "quarter turns are undone in the wrong direction",
            "axis=-1 if back else -2",
            "axis=-2 if back else -2",
        ),
        ("noise knows nothing of the image's range", "x + sigma * extent * ", "x + sigma * "),
        (
            "paths start at the baseline and end before the input",
            "for i in range(1, self.n + 1)",
            "for i in range(self.n)",
        ),
    ),
    *_in(
        "composition/fusion.py",
        _FUSION,
        (
            "shallow layers are fused without their tanh",
            "resize(xp.tanh(gamma * m), finest)",
            "resize(gamma * m, finest)",
        ),
    ),
    *_in(
        "composition/named.py",
        ("tests/composition/test_named.py",),
        (
            "RefineCAM is a mean",
            'Fuse(get_method("gradcam++"), how="product")',
            'Fuse(get_method("gradcam++"), how="mean")',
        ),
    ),
    # ------------------------------------------------------------------ targets and outputs
    *_in(
        "targets/table.py",
        _TARGETS,
        (
            "contrasted classes are added",
            "scores = scores - xp.concat(others",
            "scores = scores + xp.concat(others",
        ),
        (
            "similar classes are those with low logits",
            "np.abs(logits[candidates] - logits[target])",
            "logits[candidates] - logits[target]",
        ),
        (
            "evidence against is evidence for",
            "return scores * xp.asarray(self.signs[:, columns],",
            "return scores * xp.asarray(self.signs[:, columns] ** 2,",
        ),
        (
            "targets of several kinds change places",
            "xp.asarray(np.argsort(order), device=where)",
            "xp.asarray(order[::-1], device=where)",
        ),
    ),
    *_in(
        "targets/classes.py",
        _TARGETS,
        (
            "the top classes are the bottom ones",
            "axis=1, descending=True)[:, :k]",
            "axis=1, descending=False)[:, :k]",
        ),
    ),
    *_in(
        "targets/regions.py",
        ("tests/test_regions.py", "tests/torch/test_segmenters.py"),
        (
            "a region is the whole picture",
            "of_class[:, 0] * weights, (batch, -1)",
            "of_class[:, 0] + 0 * weights, (batch, -1)",
        ),
    ),
    *_in(
        "outputs/logits.py",
        _TARGETS,
        ("ReST takes the log-probability off", "self.logits + logs if score", "self.logits - logs if score"),
        (
            "the sigmoid is twice too steep",
            "(1 + xp.tanh(self.logits / 2)) / 2",
            "(1 + xp.tanh(self.logits)) / 2",
        ),
    ),
    *_in(
        "models/observing.py",
        ("tests/torch/test_outputs.py",),
        (
            "the two classes of one logit change places",
            "xp.concat([-logits, logits], axis=1)",
            "xp.concat([logits, -logits], axis=1)",
        ),
    ),
    # ------------------------------------------------------------------ images
    *_in(
        "images/geometry.py",
        ("tests/images/test_geometry.py",),
        (
            "the way back to the photo adds the crop",
            "(y - self.offset[0]) / self.scale[0]",
            "(y + self.offset[0]) / self.scale[0]",
        ),
        ("a pixel counts by its edge", "math.ceil(edge - 0.5)", "math.ceil(edge)"),
    ),
    *_in(
        "images/preprocess.py",
        ("tests/images/test_quick_reading.py",),
        (
            "what the crop keeps is looked for a pixel aside",
            "columns[0] * across,",
            "(columns[0] + 1) * across,",
        ),
    ),
    *_in(
        "images/quick_reading.py",
        ("tests/images/test_quick_reading.py",),
        ("fewer pixels are decoded than are resized", "scale * step * ENOUGH <= 1", "scale * step <= 1"),
        (
            "a last pixel that is not whole is taken to be at the end, however a photo lies in its file",
            "or orientation(image) == UPRIGHT",
            "or orientation(image)",
        ),
    ),
    *_in(
        "images/preprocess.py",
        ("tests/images/test_geometry.py",),
        ("the geometry forgets the crop", "offset=(float(top), float(left))", "offset=(0.0, 0.0)"),
    ),
    *_in(
        "images/preprocess.py",
        ("tests/images/test_preprocess.py",),
        (
            "the crop's corner has its axes swapped",
            "fitted.paste(picture, (offset[1] + columns[0], offset[0] + rows[0]))",
            "fitted.paste(picture, (offset[0] + rows[0], offset[1] + columns[0]))",
        ),
        (
            "colours of a BGR model are not turned round",
            "pixels[..., -1 - c if self.bgr else c]",
            "pixels[..., c]",
        ),
    ),
    # ------------------------------------------------------------------ models
    *_in(
        "models/grid.py",
        ("tests/test_grid.py",),
        (
            "prefix tokens are taken from the end",
            "return slice(self.prefix, tokens - self.suffix)",
            "return slice(self.suffix, tokens - self.prefix)",
        ),
        (
            "prefix tokens come back as zeros",
            "xp.concat([in_front, tokens,",
            "xp.concat([0 * in_front, tokens,",
        ),
        ("channels-last grids are transposed", '"b ... c -> b c ...")', '"b h w c -> b c w h")'),
    ),
    *_in(
        "models/place.py",
        ("tests/test_place.py", "tests/test_space.py"),
        (
            "any grid is believed that its shape allows",
            "                >= max(_least(answer, grid, likely=likely, guessed=is_guess(grid)), best - _AS_GOOD)",
            "                >= 0",
        ),
        (
            "the second patch is believed to be where the first is",
            "return [_bell(grid.space, centre) for centre in CENTRES[: self.copies]]",
            "return [_bell(grid.space, CENTRES[0]) for _ in range(self.copies)]",
        ),
        (
            "axes need not answer for themselves",
            "least = _LONG if len(bells) == 1 else 2",
            "least = 10_000",
        ),
        (
            "a uniform input is looked at as it is",
            "if not tokens and not np.ptp(image, axis=tuple(range(min(2, image.ndim - 1), image.ndim))).any():",
            "if False:",
        ),
    ),
    *_in(
        "models/grid.py",
        ("tests/test_grid.py", "tests/test_place.py"),
        (
            "columns are put back as rows",
            "activations = xp.permute_dims(activations, (0, 1, *(2 + axis for axis in self.order)))",
            "pass",
        ),
        (
            "tokens in front are part of the grid when values are summed",
            "values[None, None, self._positions(len(values))]",
            "values[None, None, : len(values) - self.prefix - self.suffix]",
        ),
    ),
    *_in(
        "models/grid.py",
        ("tests/test_grid.py", "tests/test_space.py"),
        (
            "a batch that stands second is taken for tokens",
            "output = array_namespace(output).permute_dims(output, (1, 0, 2))",
            "pass",
        ),
    ),
    *_in(
        "models/other_tokens.py",
        ("tests/torch/test_layers.py",),
        (
            "what goes into a block that mixes at once tells nothing of its tokens",
            "self._met[counts[0]] = some[0]",
            "pass",
        ),
    ),
    *_in(
        "models/torch/anatomy/behind_pooling.py",
        ("tests/torch/test_heads_of_several_modules.py",),
        (
            "a head of several modules is not tried far away",
            "signs, -signs, far, -far])",
            "signs, -signs])",
        ),
    ),
    *_in(
        "models/runtime/linear_head.py",
        ("tests/test_remembered_heads.py",),
        (
            "a head found by runs is not tried far away",
            "*([_FAR * signs] if far else [])",
            "",
        ),
    ),
    *_in(
        "models/torch/hooks/activations.py",
        ("tests/torch/test_endings.py",),
        (
            "numbers tell a selected output before its memory does",
            "if shares_memory(call.output, output) and (before := _before(call, output)) is not None:",
            "if (before := _before(call, output)) is not None:",
        ),
        (
            "of copies that several calls could have made the last is believed",
            "if any(not torch.equal(before[0], other[0]) for other, _ in others):",
            "if False:",
        ),
    ),
    *_in(
        "models/place.py",
        ("tests/test_other_inputs.py",),
        (
            "positions that lean to one side are positions",
            "return not _has_few(grid) or answer.slope(grid) >= _LEAST_SLOPE",
            "return True",
        ),
    ),
    *_in(
        "models/other_inputs.py",
        ("tests/test_other_inputs.py",),
        (
            "words of a decoder are places of a sound",
            "if in_place and own.slope(grid) < _SHARE * other.slope(grid):",
            "if False:",
        ),
        (
            "what has any part in another input is no place",
            "own.slope(grid) < _SHARE * other.slope(grid)",
            "own.slope(grid) < 9 * other.slope(grid)",
        ),
    ),
    *_in(
        "models/grid.py",
        ("tests/test_place.py",),
        (
            "of grids that were met the first is taken",
            "        for space in reversed(met):\n            prefix = ",
            "        for space in met:\n            prefix = ",
        ),
    ),
    *_in(
        "models/torch/observation.py",
        ("tests/torch/test_gradients.py",),
        (
            "the head of the first chunk of targets is that of all",
            "weights[:, columns],\n",
            "weights[:, : columns.stop - columns.start],\n",
        ),
    ),
    *_in(
        "models/torch/optimise.py",
        ("tests/torch/test_remembered.py", "tests/torch/test_on_the_batch.py"),
        (
            "an optimised copy is never made anew",
            "if known is None or not known.is_of(self.model, now):",
            "if known is None:",
        ),
        (
            "an optimised copy is kept when weights change",
            "if self.versions != now or not",
            "if not",
        ),
        (
            "an optimised copy is kept when a setting changes",
            "return changed(self.settings, settings(model)) <= self.written",
            "return True",
        ),
        (
            "an optimised copy is made anew at every call of a model that counts its calls",
            "return changed(self.settings, settings(model)) <= self.written",
            "return not changed(self.settings, settings(model))",
        ),
    ),
    *_in(
        "models/torch/hooks/copying.py",
        ("tests/torch/test_remembered.py",),
        (
            "what was computed is copied as PyTorch does it, which refuses",
            "if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:",
            "if False:",
        ),
    ),
    *_in(
        "models/other_tokens.py",
        ("tests/test_place.py",),
        (
            "each layer says by itself which tokens are no position",
            "best = told[0] if told else max(",
            "best = max(",
        ),
        (
            "what stands still tells less than a layer before",
            "told = [grid for grid in agreements if grid in exact]",
            "told = []",
        ),
        (
            "a layer of other channels is told by itself",
            "return replace(grid, channels=0) in self._told",
            "return grid in self._told",
        ),
    ),
    *_in(
        "models/place.py",
        ("tests/test_place.py", "tests/torch/test_layers.py"),
        (
            "the tokens that are no position stand in front whatever the numbers say",
            "return others.best(alike, candidates.exact)",
            "return found",
        ),
    ),
    *_in(
        "engine/space.py",
        ("tests/test_space.py",),
        (
            "a spectrogram that is turned on its side has no layers",
            "return turned if self._in_place(batch, turned) > 0 else usual",
            "return usual",
        ),
    ),
    *_in(
        "models/torch/anatomy/head.py",
        ("tests/torch/test_linear_head.py", "tests/torch/test_heads_of_several_modules.py"),
        (
            "a head may be off by 300 times the rounding",
            "expected, size, pooled.tolerance).all())",
            "expected, size, 300 * pooled.tolerance).all())",
        ),
        (
            "what is pooled may be off by 50 times the rounding",
            "self.values.detach(), size, self.tolerance).all())",
            "self.values.detach(), size, 50 * self.tolerance).all())",
        ),
    ),
    *_in(
        "models/torch/hooks/record.py",
        ("tests/torch/test_kept_tensors.py", "tests/torch/test_gradients.py", "tests/torch/test_record.py"),
        (
            "what is recorded is a view of the network's own numbers",
            "values.clamp(min=0) if layer.after_relu else values.clone()",
            "values.clamp(min=0) if layer.after_relu else values",
        ),
        (
            "the graph begins without being cut off",
            "            values = tensor.detach()\n",
            "            values = tensor\n",
        ),
    ),
    *_in(
        "models/torch/hooks/grafting.py",
        ("tests/torch/test_kept_tensors.py", "tests/torch/test_gradients.py", "tests/torch/test_record.py"),
        (
            "a graph that begins at a layer's input is not cut off",
            "_grafted(tensor.detach(), tensor.detach().requires_grad_(), beside=False)",
            "_grafted(tensor.detach(), tensor.requires_grad_(), beside=False)",
        ),
    ),
    *_in(
        "models/torch/anatomy/layers.py",
        ("tests/torch/test_called_twice.py", "tests/torch/test_layers.py"),
        (
            "a layer that is called again stands where it was called first",
            "            layers.pop(name, None)\n",
            "            if grid is None:\n                layers.pop(name, None)\n",
        ),
    ),
    *_in(
        "targets/table.py",
        ("tests/test_targets.py", "tests/torch/test_rerun.py"),
        (
            "reruns take the signs of the first image",
            "            signs=self.signs[index],",
            "            signs=self.signs[index * 0],",
        ),
    ),
    *_in(
        "methods/gradient.py",
        ("tests/test_methods.py",),
        (
            "where the α of Grad-CAM++ has no meaning it is anything",
            "if bool(xp.any(total < 0)) or evidence.gradient_powers is not None:",
            "if False:",
        ),
    ),
    *_in(
        "models/axes.py",
        ("tests/test_space.py",),
        (
            "axes go back in the order they came in",
            "tuple(order.index(axis) for axis in range(ndim))",
            "tuple(order)",
        ),
    ),
    *_in(
        "models/said_grid.py",
        ("tests/test_said_grid.py",),
        (
            "a function may do more than rearrange",
            "pure = np.abs(made[0] - places).max(initial=0) == 0 and len(np.unique(places)) == places.size",
            "pure = True",
        ),
    ),
    *_in(
        "models/torch/hooks/relu_edges.py",
        ("tests/torch/test_relu_edges.py",),
        (
            "the gradient behind a ReLU by function is its input's",
            "GradientEdge(relu, 0) for relu in found",
            "GradientEdge(relu, 0) for relu in ()",
        ),
    ),
    *_in(
        "models/torch/anatomy/ending.py",
        ("tests/torch/test_relu_edges.py",),
        (
            "the last head is taken for the classifier, whichever is explained",
            "if id(end) in found:",
            "if False:",
        ),
    ),
    *_in(
        "models/torch/anatomy/grids.py",
        ("tests/test_place.py",),
        (
            "what a convolution puts out may have its channels last",
            "any(isinstance(part, nn.modules.conv._ConvNd) for part in module.modules())",
            "False",
        ),
        (
            "a ReLU that leaves few positions loses the grid",
            "        grid = self._as_before(output) if as_it_came else None",
            "        grid = None",
        ),
    ),
    *_in(
        "models/torch/layer_finder.py",
        ("tests/torch/test_layers.py",),
        (
            "a layer that is dead on the first image is refused",
            "            found = self._look(most_telling.images(slice(image, image + 1)))",
            "            break",
        ),
    ),
    *_in(
        "models/batch.py",
        ("tests/torch/test_blank_images.py",),
        (
            "the image in front decides which layer is chosen",
            "np.lexsort((*of_equals.T, -self.spreads))[:count]",
            "slice(count)",
        ),
        ("after a faint image no other is looked at", "MUCH_MORE = 2", "MUCH_MORE = 10**9"),
    ),
    *_in(
        "models/torch/anatomy/trace.py",
        ("tests/torch/test_moved_axes.py",),
        (
            "what is behind a view has no grid of its own",
            "if known is not None and known is tensor._base:",
            "if False:",
        ),
    ),
    *_in(
        "models/torch/anatomy/reach.py",
        ("tests/torch/test_layers.py",),
        (
            "the channels of an embedding are a map of scores",
            "could_be_scores=anatomy.dense or layer.name in anatomy.scores",
            "could_be_scores=True",
        ),
    ),
    *_in(
        "engine/space.py",
        ("tests/test_space.py",),
        (
            "of a spectrogram one axis is space",
            "_MORE_AXES = 0.8",
            "_MORE_AXES = 8.0",
        ),
    ),
    *_in(
        "models/torch/anatomy/head.py",
        ("tests/torch/test_linear_head.py",),
        (
            "heads are believed without being tried",
            "return classifier if is_right(classifier, logits) else None",
            "return classifier",
        ),
        (
            "the ReLU between layer and pooling is overlooked",
            "return Features(rectified, activations_themselves=False)",
            "return Features(activations, activations_themselves=False)",
        ),
    ),
    *_in(
        "models/torch/reruns/values.py",
        ("tests/torch/test_suffix.py",),
        (
            "every image gets the first image's prefix",
            "own = value[image * each : (image + 1) * each]",
            "own = value[:each]",
        ),
    ),
    *_in(
        "models/torch/reruns/sums.py",
        ("tests/torch/test_sums.py", "tests/torch/test_on_the_batch.py"),
        (
            "a head that numbers show linear is believed whatever the model computes",
            "return bool(labels) and Made.OTHERWISE not in labels and not self.read",
            "return True",
        ),
        (
            "a branch that the channels decide is no matter",
            "Made.OTHERWISE not in labels and not self.read",
            "Made.OTHERWISE not in labels",
        ),
        (
            "a ReLU of sums counts as a ReLU of each",
            "return labels if alone and labels == {Made.OF_ONE} else otherwise",
            "return labels",
        ),
        (
            "a product of two that are followed counts as a sum",
            "sum(followed[i] for i in _PRODUCTS[name]) < 2",
            "True",
        ),
    ),
    *_in(
        "models/torch/reruns/following.py",
        ("tests/torch/test_on_the_batch.py",),
        ("what Python reads without an operation goes unseen", "if func in _READERS:", "if False:"),
    ),
    *_in(
        "models/torch/reruns/flattened.py",
        ("tests/torch/test_on_the_batch.py", "tests/torch/test_flattened.py"),
        (
            "what is kept beside the linear layer may hold the channels",
            "if apart and not rest.whole",
            "if not rest.whole",
        ),
    ),
    *_in(
        "models/torch/reruns/on_batch.py",
        ("tests/torch/test_on_the_batch.py",),
        (
            "channels that another image uses past the linear layer are no matter",
            "if followed.of(expected) or followed.read:",
            "if False:",
        ),
    ),
    *_in(
        "models/torch/anatomy/behind_pooling.py",
        ("tests/torch/test_heads_of_several_modules.py",),
        (
            "a dead batch proves any head",
            "rows * (1 - every_second), signs, -signs",
            "rows * (1 - every_second)",
        ),
    ),
    *_in(
        "models/torch/reruns/planning.py",
        ("tests/torch/test_suffix.py",),
        (
            "suffixes are believed without being tried",
            "return bool(same_rows(got, expected.expand_as(got), expected.abs().max(), rounding(got.dtype)).all())",
            "return True",
        ),
    ),
    # ------------------------------------------------------------------ models that leave with their maps
    *_in(
        "models/torch/exporting/decompositions.py",
        ("tests/exporting/test_decompositions.py",),
        (
            "what a stride leaves over is forgotten",
            "d, True, left, groups",
            "d, True, [0] * axes, groups",
        ),
        (
            "padding counts in every average",
            "counts = with_padding if counts_padding else",
            "counts = with_padding if True else",
        ),
    ),
    *_in(
        "models/torch/exporting/with_maps.py",
        ("tests/exporting/test_export.py",),
        (
            "gradients of every class are the first one's",
            "torch.autograd.grad(score.sum(), put_out",
            "torch.autograd.grad(scores[:, 0].sum(), put_out",
        ),
        (
            "a ReLU between the layer and the pooling is forgotten",
            "activations if themselves else activations.clamp(min=0)",
            "activations",
        ),
    ),
    *_in(
        "exporting/verifying.py",
        ("tests/exporting/test_export.py",),
        (
            "whatever the maps are, they are written",
            "if not differences[worst] <= most[worst]:",
            "if not differences[worst] <= 1e9:",
        ),
        (
            "the order of classes is not looked at",
            "if not _of_logits(np.take_along_axis(logits, outputs.classes, axis=1), best) <= _LOGITS:",
            "if False:",
        ),
    ),
    *_in(
        "surviving/aside.py",
        ("tests/exporting/test_export.py",),
        ("what was half written stays", "shutil.rmtree(folder, ignore_errors=True)", "pass"),
    ),
    # ------------------------------------------------------------------ positions that are moved, the batch second
    *_in(
        "models/torch/anatomy/layers.py",
        ("tests/torch/test_moved_positions.py",),
        (
            "a layer that is called again keeps the grid of its first call",
            "        for name in output.names:  # a module that is called again counts where it is called last\n"
            "            layers.pop(name, None)\n"
            "        if grid is None:",
            "        if grid is None:",
        ),
    ),
    *_in(
        "models/torch/anatomy/grids.py",
        ("tests/torch/test_moved_positions.py",),
        (
            "what a function has moved is taken to be in place",
            "source.answer.agreement(grid) < self._least_in_place - _LOST",
            "False",
        ),
    ),
    *_in(
        "models/grid.py",
        ("tests/torch/test_moved_positions.py",),
        ("the first layer needs no place", "if seen and unlikely < _NOT_MET", "if unlikely < _NOT_MET"),
    ),
    *_in(
        "models/onnx/onnx_runtime.py",
        ("tests/onnx/test_batch_second.py",),
        (
            "what stands beside a layer has its batch in front, always",
            "not apart and len(once[name]) == len(twice[name])",
            "False",
        ),
        (
            "rows that ran one by one stand behind each other",
            "np.concatenate(np.split(value, rows), axis=1)",
            "value",
        ),
    ),
    *_in(
        "models/runtime/shown.py",
        ("tests/onnx/test_batch_second.py", "tests/jax/test_jax_batch_second.py"),
        (
            "a layer with its batch second has it in front",
            "grid = as_batch_second(grid)",
            "pass",
        ),
    ),
    # ------------------------------------------------------------------ measures, verdicts, locks, trainings and runs
    *IN_MEASURES,
]
