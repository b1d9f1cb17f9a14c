"""The explorer: one operation taken apart, forward and backward, number by number."""

from minigrad.viz.explainer.explanation import Explanation, explain

__all__ = ["Explanation", "explain"]
