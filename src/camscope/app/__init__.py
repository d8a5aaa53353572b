"""Maps to look at in a browser: the page, what it is given, and reports that hold both in one file."""

from camscope.app.report_file import report, write_report
from camscope.app.view import View

__all__ = ["View", "report", "write_report"]
