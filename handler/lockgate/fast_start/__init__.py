"""What makes a start quick."""
