"""Models with the structure of ultralytics' (YOLO, RT-DETR), told by what they are made of; nothing is imported."""

from camscope.libraries.ultralytics.made_of import recognise

__all__ = ["recognise"]
