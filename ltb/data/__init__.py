"""Datasets as tensors; the order of minibatches and their augmentation are functions of (seed, step)."""

from ltb.data.cifar import CIFAR10, CIFAR100
from ltb.data.dataset import Dataset, InMemory
from ltb.data.digits import Digits
from ltb.data.imagenet import ImageNet
from ltb.data.mnist import KMNIST, MNIST, FashionMNIST
from ltb.data.mnist1d import MNIST1D
from ltb.data.noise import Noise
from ltb.data.noisy_labels import NoisyLabels
from ltb.data.normalisation import Channels, Normalisation, PerImage, UnitLength
from ltb.data.source import Batches, Source, Split

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "MNIST1D",
    "Batches",
    "Channels",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "ImageNet",
    "InMemory",
    "Noise",
    "NoisyLabels",
    "Normalisation",
    "PerImage",
    "Source",
    "Split",
    "UnitLength",
]
