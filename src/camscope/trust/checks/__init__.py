"""The further tests of a map, each for one question, a file each."""

from camscope.trust.checks import class_check as class_check
from camscope.trust.checks import srg_check as srg_check
from camscope.trust.checks import stability_check as stability_check
from camscope.trust.checks import weights_check as weights_check
from camscope.trust.checks.registry import Asked, Place, check, checks_named, list_checks, names_of_checks

__all__ = ["Asked", "Place", "check", "checks_named", "list_checks", "names_of_checks"]
