"""What our templates may say."""
