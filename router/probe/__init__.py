"""The black-box probe: sends canaries through a gateway and looks for them wherever bytes came to rest.

It trusts nothing: it knows the wires, the places to search, and neither the gateway's code nor its database.
"""
