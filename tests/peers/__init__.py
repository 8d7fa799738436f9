"""Other gateways, installed from their registries beside the project and never into it, to be measured as ours is."""
