"""Models: loading, telling packed documents apart, and one step module around any of them."""
