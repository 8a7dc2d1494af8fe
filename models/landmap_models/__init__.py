"""A chip becomes class probabilities: Keras models, their cards, their training."""
