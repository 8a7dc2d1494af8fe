"""What a scene's numbers mean: from digital numbers to reflectance at the model's level."""
