"""A network as a plan that runs: plan, lowering (one file a layer family), builder, loop, threads."""
