"""The classification of one scene: how a plan is carried out, its journal, its outputs and its result."""
