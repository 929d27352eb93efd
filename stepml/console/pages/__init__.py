"""The views, one module each: it registers its address, and draws what the board knows."""
