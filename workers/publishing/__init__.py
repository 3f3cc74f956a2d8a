"""From renditions to objects and rows: the two stages, and the services behind them."""
