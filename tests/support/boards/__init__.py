"""An application with nine further synced models, so that eleven boards can be at work at once."""
