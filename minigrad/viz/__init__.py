"""Pictures of computation graphs and of training."""

from minigrad.viz.averages import running_statistics, true_statistics
from minigrad.viz.boundaries import BoundaryMovie, decision_boundary
from minigrad.viz.convolutions import feature_maps, filters
from minigrad.viz.explainer import Explanation, explain
from minigrad.viz.graphs import Graph, graph
from minigrad.viz.loss_landscape import Landscape, directions, landscape, landscapes
from minigrad.viz.monitoring import Monitor, histograms, monitor

__all__ = [
    "BoundaryMovie",
    "Explanation",
    "Graph",
    "Landscape",
    "Monitor",
    "decision_boundary",
    "directions",
    "explain",
    "feature_maps",
    "filters",
    "graph",
    "histograms",
    "landscape",
    "landscapes",
    "monitor",
    "running_statistics",
    "true_statistics",
]
