"""The supervisor: the loop that keeps children alive, and all that it decides and knows of them."""
