"""The diffusion model: network, process, sampling, training, and the folder that keeps a trained one."""
