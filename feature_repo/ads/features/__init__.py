"""What is served about users."""
