"""Runs: explanations of as many images as there are. They survive a kill, and are asked by SQL.

import camscope
camscope.runs.run("photos/", model="timm:resnet50", out="run")
camscope.runs.open("run").where("label != top1").sort("ring_share", descending=True).to_pandas()
"""

from camscope.runs.comparing_runs import Comparison
from camscope.runs.joining_shares import merge
from camscope.runs.mean_maps import MeanMap
from camscope.runs.run_rows import RunRows
from camscope.runs.run_rows import open_run as open
from camscope.runs.running import Done, run

__all__ = ["Comparison", "Done", "MeanMap", "RunRows", "merge", "open", "run"]
