"""Models in the form of other programs, compared there with the model that they were made from."""
