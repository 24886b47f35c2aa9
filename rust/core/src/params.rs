//! The structural parameters of windowed operators.

/// A convolution; arrays are `[depth, height, width]`, aligned to the right, and unused leading entries have stride and
/// dilation 1 and padding 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConvParams {
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
    pub groups: usize,
    pub transposed: bool,
    /// Already part of the output's shape; kept for the gradient's shape rule.
    pub output_padding: [usize; 3],
}

/// A sliding block; arrays are `[height, width]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BlockParams {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

impl BlockParams {
    /// Block positions along one axis; not positive when the block does not fit.
    pub fn output_size(&self, axis: usize, input: usize) -> i64 {
        let reach = self.dilation[axis] as i64 * (self.kernel[axis] as i64 - 1) + 1;
        let room = input as i64 + 2 * self.padding[axis] as i64 - reach;
        room.div_euclid(self.stride[axis] as i64) + 1
    }
}

/// A window over the last `spatial` dimensions; arrays are `[depth, height, width]`, aligned to the right, and unused
/// leading entries have kernel, stride and dilation 1 and padding 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PoolParams {
    pub spatial: usize,
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    /// Ones for average pooling.
    pub dilation: [usize; 3],
}

/// Average pooling's window and divisor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AvgPoolParams {
    pub window: PoolParams,
    pub count_include_pad: bool,
    pub divisor_override: Option<i64>,
}

/// Where a position outside the input is read from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PadMode {
    /// Mirrored about the edge element, which is not repeated; the padding is less than the size.
    Reflect,
    /// The nearest edge element.
    Replicate,
    /// The input repeats.
    Circular,
}

/// Padding of the last `spatial` dimensions. The right padding follows from the output's shape; negative amounts crop.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PadParams {
    pub mode: PadMode,
    pub spatial: usize,
    /// Left padding as `[depth, height, width]`, aligned to the right, 0 for unused leading entries.
    pub left: [i64; 3],
}

/// The rule by which an output reads its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResizeMode {
    /// The input at ⌊o·scale⌋.
    Nearest,
    /// The input whose centre is nearest to the output's.
    NearestExact,
    /// Linear, bilinear or trilinear by the number of dimensions.
    Linear,
    /// Cubic convolution, a = -0.75 (-0.5 with antialiasing, as in PIL).
    Cubic,
}

/// Resizing of the last `spatial` dimensions; the output's size is that of its window.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ResizeParams {
    pub mode: ResizeMode,
    pub spatial: usize,
    pub align_corners: bool,
    pub antialias: bool,
    /// Output size over input size as `[depth, height, width]`, aligned to the right, where the caller gave a factor and
    /// it is to be used instead of the ratio of sizes; as the bits of an f64, so that parameters can be hashed.
    pub scale_factors: [Option<u64>; 3],
}

/// The rule by which a place between pixels is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SampleMode {
    Nearest,
    /// Linear, bilinear or trilinear by the number of dimensions.
    Linear,
    /// Cubic convolution with a = −0.75, of images.
    Cubic,
}

/// What lies outside of what is sampled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outside {
    Zeros,
    /// The nearest pixel of the border.
    Border,
    /// The image mirrored at its borders.
    Reflection,
}

/// Reading of images or volumes (N, C, *sizes) at places (N, *places, spatial) in [−1, 1], x first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SampleParams {
    pub mode: SampleMode,
    pub outside: Outside,
    /// Whether −1 and 1 are the centres of the corner pixels or their outer edges.
    pub align_corners: bool,
    pub spatial: usize,
}
