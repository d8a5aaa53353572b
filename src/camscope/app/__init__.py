"""Maps to look at in a browser: the page, what it is given, and reports that hold both in one file."""

from camscope.app.report_file import check_report, report, write_report
from camscope.app.view import View

__all__ = ["View", "check_report", "report", "write_report"]
