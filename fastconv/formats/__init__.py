"""Files and other libraries: .npz, .safetensors, IDX, images, `state_dict`s, PyTorch, ONNX."""
