//! The payload of decompositions and of the systems they solve.

/// Operators on the matrices in the last two dims, all float32 or float64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Linalg {
    /// R, or Q and R; their sizes say how much of Q is wanted.
    Qr,
    /// S, or U, S and Vᵀ; the sizes of U and Vᵀ say how much of them is wanted.
    Svd,
    /// `[A, B]` of the same batch: X in A·X = B, or in X·A = B unless `left`, reading A's triangle only.
    SolveTriangular { upper: bool, left: bool, unit: bool },
}

impl Linalg {
    pub const fn name(self) -> &'static str {
        match self {
            Linalg::Qr => "linalg_qr",
            Linalg::Svd => "linalg_svd",
            Linalg::SolveTriangular { .. } => "linalg_solve_triangular",
        }
    }
}
