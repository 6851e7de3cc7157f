//! The settings: each declared once in a table from which `.env.example`, help and validation come.

/// Validated settings; cheap to clone.
#[derive(Clone)]
pub struct Config(std::rc::Rc<()>);
