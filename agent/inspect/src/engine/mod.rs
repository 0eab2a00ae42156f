//! Rules against traffic: which rules match what the flow stage hands over.

mod view;

pub use view::{FlowView, Inspection, Unit};
