"""Maps to look at in a browser: the page, what it is given, reports that hold both in one file, and a widget."""

from camscope.app.report_file import check_report, report, write_report
from camscope.app.showing_notebook import show, widget
from camscope.app.view import View

__all__ = ["View", "check_report", "report", "show", "widget", "write_report"]
