//! The payloads of indexing, scattering, sorting and counting.

/// How a scatter treats an element that is hit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ScatterMode {
    Set,
    Add,
    Prod,
    Mean,
    Amax,
    Amin,
}

/// Reading and writing by index tensors and masks, and operators that only move elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Indexing {
    /// `[input, index]` along a dim.
    Gather(u8),
    /// `[input, index, source]` along a dim, where the source may be a number. Number after a tensor: its factor.
    Scatter { mode: ScatterMode, dim: u8, include_self: bool },
    /// `[input, index, …]`: an index tensor for every dim whose bit is set, all of one shape.
    Index(u64),
    /// `[input, values, index, …]`.
    IndexPut { dims: u64, accumulate: bool },
    /// `[input, index]` of the flattened input.
    Take,
    /// `[input, index, source]` of the flattened input.
    Put { accumulate: bool },
    /// `[input, mask]` of one shape.
    MaskedSelect,
    /// `[input, mask, source]`, input and mask of one shape.
    MaskedScatter,
    /// Coordinates of non-zero elements, one row each.
    Nonzero,
    /// Number: the diagonal.
    Triangle { upper: bool },
    /// Reverses the dims whose bits are set.
    Flip(u64),
    /// Numbers: a shift per dim, each below the size.
    Roll,
    /// Position `i` repeated `repeats[i]` times.
    RepeatPositions,
    /// `[index]`: flags a rule that it breaks; on GPUs. Numbers: the range, one more right value, the rule.
    Check,
    /// `[weight, index]`.
    Embedding,
    /// `[weight, index]` or `[weight, index, factors]`: sums of rows, one for each row of the index.
    EmbeddingBag,
    /// `[grad, index]`. Number: the row without gradient, or −1.
    EmbeddingGrad { by_frequency: bool },
}

/// Which element of a line a selection takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rank {
    /// Number: k, from 1.
    Kth,
    Median,
    NanMedian,
    Mode,
}

/// Sorting, selecting by rank, searching and counting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sorting {
    /// Values and positions.
    Sort { dim: u8, descending: bool },
    /// Values and positions; k is the output's size.
    TopK { dim: u8, largest: bool },
    /// Values and positions.
    Select { rank: Rank, dim: u8 },
    /// Of everything.
    Median { ignore_nan: bool },
    /// `[sorted, values]`.
    Search { right: bool },
    /// `[values]` or `[values, weights]`.
    Bincount,
    /// Numbers: the range.
    Histogram,
    /// Positions of first occurrences, the place of every element, counts (all of full length), and how many there are.
    Unique { dim: Option<u8>, consecutive: bool },
}

impl Indexing {
    pub const fn name(self) -> &'static str {
        match self {
            Indexing::Gather(_) => "gather",
            Indexing::Scatter { mode: ScatterMode::Set, .. } => "scatter",
            Indexing::Scatter { mode: ScatterMode::Add, .. } => "scatter_add",
            Indexing::Scatter { .. } => "scatter_reduce",
            Indexing::Index(_) => "index",
            Indexing::IndexPut { .. } => "index_put",
            Indexing::Take => "take",
            Indexing::Put { .. } => "put",
            Indexing::MaskedSelect => "masked_select",
            Indexing::MaskedScatter => "masked_scatter",
            Indexing::Nonzero => "nonzero",
            Indexing::Triangle { upper: true } => "triu",
            Indexing::Triangle { upper: false } => "tril",
            Indexing::Flip(_) => "flip",
            Indexing::Roll => "roll",
            Indexing::RepeatPositions => "repeat_interleave",
            Indexing::Check => "index_check",
            Indexing::Embedding => "embedding",
            Indexing::EmbeddingBag => "embedding_bag",
            Indexing::EmbeddingGrad { .. } => "embedding_dense_backward",
        }
    }

    /// Whether the output is the first input with some elements replaced, so that it may take over that input's memory.
    pub const fn overwrites(self) -> bool {
        matches!(
            self,
            Indexing::Scatter { .. } | Indexing::IndexPut { .. } | Indexing::Put { .. } | Indexing::MaskedScatter
        )
    }
}

impl Sorting {
    pub const fn name(self) -> &'static str {
        match self {
            Sorting::Sort { .. } => "sort",
            Sorting::TopK { .. } => "topk",
            Sorting::Select { rank: Rank::Kth, .. } => "kthvalue",
            Sorting::Select { rank: Rank::Median, .. } | Sorting::Median { ignore_nan: false } => "median",
            Sorting::Select { rank: Rank::NanMedian, .. } | Sorting::Median { ignore_nan: true } => "nanmedian",
            Sorting::Select { rank: Rank::Mode, .. } => "mode",
            Sorting::Search { .. } => "searchsorted",
            Sorting::Bincount => "bincount",
            Sorting::Histogram => "histc",
            Sorting::Unique { .. } => "unique",
        }
    }
}
