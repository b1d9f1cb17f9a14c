"""Convolutions and their transposes: many options, first and second order."""

from tests.parity.case import Case, ModuleCase, normal


def _conv(n, **options):
    return lambda lib, x, w, *b: getattr(lib.nn.functional, f"conv{n}d")(x, w, *b, **options)


def _transpose(n, **options):
    return lambda lib, x, w, *b: getattr(lib.nn.functional, f"conv_transpose{n}d")(x, w, *b, **options)


BIAS = normal(4)
X, W = normal(2, 3, 7, 6), normal(4, 3, 3, 2)

CASES = [
    Case("conv1d", _conv(1), normal(2, 3, 7), normal(4, 3, 3), BIAS, second=True),
    Case(
        "conv1d_all",
        _conv(1, stride=2, padding=3, dilation=2, groups=2),
        normal(3, 4, 9),
        normal(6, 2, 3),
        second=True,
    ),
    Case("conv1d_unbatched", _conv(1, padding=1), normal(3, 7), normal(4, 3, 3), BIAS),
    Case("conv1d_same", _conv(1, padding="same"), normal(2, 3, 7), normal(4, 3, 4), BIAS),
    Case("conv1d_long", _conv(1, padding=4), normal(1, 2, 1500), normal(3, 2, 9)),
    Case("conv2d", _conv(2), X, W, BIAS, second=True),
    Case("conv2d_no_bias", _conv(2), X, W),
    Case("conv2d_padding", _conv(2, padding=(2, 1)), X, W, BIAS, second=True),
    Case("conv2d_stride", _conv(2, stride=2), X, W, BIAS, second=True),
    Case("conv2d_stride_uneven", _conv(2, stride=(3, 2), padding=1), X, W, BIAS, second=True),
    Case("conv2d_stride_beyond_kernel", _conv(2, stride=4, padding=1), normal(2, 2, 9, 10), normal(3, 2, 2, 3)),
    Case("conv2d_dilation", _conv(2, dilation=(2, 3), padding=2), X, W, BIAS, second=True),
    Case("conv2d_stride_dilation", _conv(2, stride=2, dilation=2, padding=3), X, W, BIAS, second=True),
    Case("conv2d_stride_dilation_coprime", _conv(2, stride=(2, 3), dilation=(3, 2), padding=3), X, W, BIAS),
    Case(
        "conv2d_stride_dilation_common",
        _conv(2, stride=4, dilation=6, padding=6),
        normal(2, 2, 15, 13),
        normal(2, 2, 3, 3),
    ),
    Case("conv2d_groups", _conv(2, groups=2, padding=1), normal(2, 6, 5, 5), normal(4, 3, 3, 3), BIAS, second=True),
    Case(
        "conv2d_depthwise",
        _conv(2, groups=5, padding=1),
        normal(2, 5, 6, 5),
        normal(5, 1, 3, 3),
        normal(5),
        second=True,
    ),
    Case(
        "conv2d_depthwise_multiplied", _conv(2, groups=3, stride=2), normal(2, 3, 6, 5), normal(6, 1, 3, 3), normal(6)
    ),
    Case("conv2d_1x1", _conv(2), normal(2, 3, 4, 5), normal(7, 3, 1, 1), normal(7), second=True),
    Case("conv2d_1x1_stride", _conv(2, stride=2), normal(2, 3, 5, 5), normal(4, 3, 1, 1), BIAS),
    Case("conv2d_whole_image", _conv(2), normal(3, 2, 4, 5), normal(4, 2, 4, 5), BIAS),
    Case("conv2d_same", _conv(2, padding="same"), X, W, BIAS, second=True),
    Case("conv2d_same_dilated", _conv(2, padding="same", dilation=3), X, normal(4, 3, 4, 2), BIAS),
    Case("conv2d_valid", _conv(2, padding="valid", stride=2), X, W, BIAS),
    Case("conv2d_unbatched", _conv(2, padding=1), normal(3, 5, 5), normal(4, 3, 3, 3), BIAS, second=True),
    Case("conv2d_many_channels", _conv(2, padding=1), normal(9, 17, 5, 4), normal(10, 17, 3, 3), normal(10)),
    Case("conv2d_large_batch", _conv(2, padding=1), normal(37, 3, 4, 4), normal(6, 3, 3, 3), normal(6)),
    Case("conv2d_one_pixel", _conv(2, padding=1), normal(3, 2, 1, 1), normal(4, 2, 3, 3), BIAS),
    Case("conv2d_empty_batch", _conv(2, padding=1), normal(0, 3, 5, 5), normal(4, 3, 3, 3), BIAS),
    Case("conv3d", _conv(3), normal(2, 2, 4, 5, 3), normal(3, 2, 2, 3, 2), normal(3), second=True),
    Case(
        "conv3d_all",
        _conv(3, stride=(1, 2, 2), padding=(1, 0, 2), dilation=(2, 1, 2), groups=2),
        normal(2, 4, 5, 5, 6),
        normal(4, 2, 2, 3, 2),
        BIAS,
    ),
    Case("conv3d_same", _conv(3, padding="same"), normal(1, 2, 3, 4, 3), normal(2, 2, 2, 3, 1)),
    Case("conv_transpose1d", _transpose(1), normal(2, 3, 5), normal(3, 4, 3), BIAS, second=True),
    Case(
        "conv_transpose1d_all",
        _transpose(1, stride=3, padding=2, output_padding=2, groups=2, dilation=2),
        normal(2, 4, 5),
        normal(4, 3, 3),
        normal(6),
        second=True,
    ),
    Case("conv_transpose2d", _transpose(2), normal(2, 3, 4, 5), normal(3, 4, 3, 2), BIAS, second=True),
    Case(
        "conv_transpose2d_stride",
        _transpose(2, stride=2, padding=1),
        normal(2, 3, 4, 5),
        normal(3, 4, 3, 3),
        BIAS,
        second=True,
    ),
    Case(
        "conv_transpose2d_output_padding",
        _transpose(2, stride=(2, 3), padding=1, output_padding=(1, 2)),
        normal(2, 3, 3, 4),
        normal(3, 4, 3, 2),
        BIAS,
        second=True,
    ),
    Case(
        "conv_transpose2d_dilation",
        _transpose(2, stride=2, dilation=3, output_padding=2),
        normal(1, 3, 3, 3),
        normal(3, 2, 2, 3),
    ),
    Case(
        "conv_transpose2d_stride_beyond_kernel", _transpose(2, stride=4), normal(2, 2, 3, 3), normal(2, 4, 2, 3), BIAS
    ),
    Case(
        "conv_transpose2d_groups",
        _transpose(2, stride=2, groups=2),
        normal(2, 4, 3, 3),
        normal(4, 2, 3, 3),
        BIAS,
        second=True,
    ),
    Case("conv_transpose2d_unbatched", _transpose(2, padding=1), normal(3, 4, 5), normal(3, 4, 3, 3), BIAS),
    Case(
        "conv_transpose3d",
        _transpose(3, stride=2, padding=1, output_padding=(1, 0, 1)),
        normal(1, 2, 3, 2, 3),
        normal(2, 3, 2, 3, 2),
        normal(3),
    ),
    ModuleCase("Conv1d", lambda lib: lib.nn.Conv1d(3, 4, 3, padding=1), normal(2, 3, 6)),
    ModuleCase("Conv2d", lambda lib: lib.nn.Conv2d(4, 6, (3, 2), 2, 1, 1, 2), normal(2, 4, 6, 5)),
    ModuleCase("Conv2d_no_bias", lambda lib: lib.nn.Conv2d(3, 4, 3, padding="same", bias=False), normal(2, 3, 5, 5)),
    ModuleCase("Conv3d", lambda lib: lib.nn.Conv3d(2, 3, 2), normal(1, 2, 3, 4, 3)),
    ModuleCase("ConvTranspose1d", lambda lib: lib.nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), normal(2, 4, 5)),
    ModuleCase("ConvTranspose2d", lambda lib: lib.nn.ConvTranspose2d(3, 4, 3, 2, 1), normal(2, 3, 4, 4)),
    ModuleCase(
        "ConvTranspose2d_output_size",
        lambda lib: lib.nn.ConvTranspose2d(3, 4, 3, 2, 1),
        normal(2, 3, 4, 4),
        call=lambda lib, module, x: module(x, output_size=(8, 7)),
    ),
    ModuleCase("ConvTranspose3d", lambda lib: lib.nn.ConvTranspose3d(2, 2, 2, 2), normal(1, 2, 2, 3, 2)),
]
for _mode in ("reflect", "replicate", "circular"):
    CASES += [
        ModuleCase(
            f"Conv2d_{_mode}",
            lambda lib, m=_mode: lib.nn.Conv2d(2, 3, (3, 5), padding=(1, 2), padding_mode=m),
            normal(2, 2, 4, 5),
            second=True,
        ),
        ModuleCase(
            f"Conv2d_{_mode}_same",
            lambda lib, m=_mode: lib.nn.Conv2d(2, 3, (2, 3), padding="same", dilation=2, padding_mode=m),
            normal(2, 2, 5, 6),
        ),
        ModuleCase(
            f"Conv1d_{_mode}", lambda lib, m=_mode: lib.nn.Conv1d(2, 3, 3, 2, 2, padding_mode=m), normal(2, 2, 5)
        ),
        ModuleCase(
            f"Conv3d_{_mode}",
            lambda lib, m=_mode: lib.nn.Conv3d(1, 2, 3, padding=1, padding_mode=m),
            normal(1, 1, 3, 3, 2),
        ),
    ]
