"""Models that leave with their maps: one file whose outputs are the logits, the top classes, and maps of these."""

from camscope.exporting.exporter import Exported, export

__all__ = ["Exported", "export"]
