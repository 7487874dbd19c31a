"""What goes onto the image: checked or made here, put in its place by the stages."""
