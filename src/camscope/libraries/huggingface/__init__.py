"""Hugging Face transformers: models, pipelines, names and folders; their processors, tokenizers and labels."""

from camscope.libraries.huggingface.audio import sound_reader_of
from camscope.libraries.huggingface.hub import create, recognise
from camscope.libraries.huggingface.tokenizers import reader_of

__all__ = ["create", "reader_of", "recognise", "sound_reader_of"]
