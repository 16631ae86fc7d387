"""Trainer, epochs, batches, metrics, callbacks, augmentation."""
