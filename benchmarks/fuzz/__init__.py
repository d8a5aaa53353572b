"""Random small networks in float64, explained by camscope and by brute force.

    python -m benchmarks.fuzz                        # 1,000 networks, and a table of what became of them
    python -m benchmarks.fuzz --count 100 --only tokens
    python -m benchmarks.fuzz --seed 17 --count 1 --shrink

Every network comes of a recipe, which is drawn from a seed and printed where something is wrong. What its maps must be
is worked out without camscope: by plain autograd, and by running the network again for each channel and position.
"""
