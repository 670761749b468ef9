"""Diffusion without a model: schedules, losses, samplers and inpainting solvers.

Everything takes a denoise function and plain arrays. Noisy latents are variance
preserving, z = alpha x + sigma eps with alpha^2 + sigma^2 = 1, except inside
`gaussian` and `preconditioning`, which use the variance-exploding x + s eps with
s = sigma / alpha; `parameterization` goes between the two.
"""
