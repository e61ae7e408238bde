"""Paired statistics that stay honest for few conversations and for users who wrote many of them."""
