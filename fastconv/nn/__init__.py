"""Records of what a network is made of: layers, losses, optimizers, schedules, and the network itself."""
