"""One scene is classified: the recipe, its journal and its outputs."""
