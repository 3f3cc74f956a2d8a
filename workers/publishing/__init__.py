"""Publishing: the two stages that make objects and rows of renditions, and the services behind them."""
