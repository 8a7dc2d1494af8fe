"""The networks of `keras.applications` that can be trained. No heavy import: the command line lists their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Application:
    """A network of `keras.applications`."""

    function: str
    """Name in `keras.applications`; in lower case, name of the architecture."""
    module: str
    """Module of `keras.applications` with the `preprocess_input` of the network."""
    minimum: int
    """Smallest height and width of a picture in pixels."""
    preprocess: Literal["tf", "torch", "caffe", "raw"]
    """Preprocessing, as in `picture.Preprocess`; raw: the network prepares 8-bit values itself."""
    cached: str
    """File of the ImageNet weights, without the thousand classes, in `~/.keras/models`."""
    include_preprocessing: bool | None = None
    """Whether the network prepares its pictures itself, where that is a choice."""
    divides_by_root: bool = False
    """Whether the published weights hold a standard deviation where the network takes a variance."""

    @property
    def name(self) -> str:
        """Name of the architecture."""
        return self.function.lower()

    def arguments(self) -> dict[str, Any]:
        """Arguments of its function beside those that all functions take."""
        if self.include_preprocessing is None:
            return {}
        return {"include_preprocessing": self.include_preprocessing}


_NOTOP = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
_ALL = (
    # Chollet 2017, arXiv 1610.02357
    Application("Xception", "xception", 71, "tf", f"xception{_NOTOP}"),
    # Simonyan and Zisserman 2015, arXiv 1409.1556
    Application("VGG16", "vgg16", 32, "caffe", f"vgg16{_NOTOP}"),
    Application("VGG19", "vgg19", 32, "caffe", f"vgg19{_NOTOP}"),
    # He et al. 2016, arXiv 1603.05027
    Application("ResNet50V2", "resnet_v2", 32, "tf", f"resnet50v2{_NOTOP}"),
    Application("ResNet101V2", "resnet_v2", 32, "tf", f"resnet101v2{_NOTOP}"),
    Application("ResNet152V2", "resnet_v2", 32, "tf", f"resnet152v2{_NOTOP}"),
    # Szegedy et al. 2016, arXiv 1512.00567, and 2017, arXiv 1602.07261
    Application("InceptionV3", "inception_v3", 75, "tf", f"inception_v3{_NOTOP}"),
    Application("InceptionResNetV2", "inception_resnet_v2", 75, "tf", f"inception_resnet_v2{_NOTOP}"),
    # Howard et al. 2017, arXiv 1704.04861; Sandler et al. 2018, arXiv 1801.04381
    Application("MobileNet", "mobilenet", 32, "tf", "mobilenet_1_0_224_tf_no_top.h5"),
    Application(
        "MobileNetV2", "mobilenet_v2", 32, "tf", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    ),
    # Huang et al. 2017, arXiv 1608.06993
    Application("DenseNet121", "densenet", 32, "torch", f"densenet121{_NOTOP}"),
    Application("DenseNet169", "densenet", 32, "torch", f"densenet169{_NOTOP}"),
    Application("DenseNet201", "densenet", 32, "torch", f"densenet201{_NOTOP}"),
    # Zoph et al. 2018, arXiv 1707.07012
    Application("NASNetLarge", "nasnet", 32, "tf", "nasnet_large_no_top.h5"),
    # Tan and Le 2019, arXiv 1905.11946
    Application("EfficientNetB0", "efficientnet", 32, "raw", "efficientnetb0_notop.h5", divides_by_root=True),
    # Liu et al. 2022, arXiv 2201.03545. Its own preparation is torch's; ours takes any number of bands.
    Application("ConvNeXtTiny", "convnext", 32, "torch", "convnext_tiny_notop.h5", include_preprocessing=False),
)
APPLICATIONS = {application.name: application for application in _ALL}
"""Networks by name, which is Keras's in lower case."""
