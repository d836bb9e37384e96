"""Three routes in FastAPI that enter as Holdfast's own service does."""
