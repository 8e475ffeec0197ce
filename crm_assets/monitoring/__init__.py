"""What scores are compared with, how far a month is from it, and how earlier scores turned out. Frames in and out."""
