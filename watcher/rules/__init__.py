"""Sigma rules: which records matter, and how much. pySigma parses, this evaluates. Pure.

parse.py and tree.py import pySigma (75 ms), the rest does not: a start with unchanged rules
reads them as data.
"""

from watcher.rules.prefilter import Prefilter
from watcher.rules.rule import Pack, Rule

__all__ = ["Pack", "Prefilter", "Rule"]
