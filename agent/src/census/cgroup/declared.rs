//! cgroups that are containers' although nothing in their path says so: an OCI runtime without a
//! manager names them as it likes, and only its state on disk tells.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::super::identity::Runtime;

/// Cgroups that are declared at the same time.
const MAX_DECLARED: usize = 4_096;

/// Shared by all who look at the cgroup tree.
#[derive(Clone, Debug, Default)]
pub struct Declared(Arc<RwLock<HashMap<String, (String, Runtime)>>>);

/// A declared cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Path of the container's cgroup, without leading slash.
    pub top: String,
    /// The container's id.
    pub id: String,
    /// Its runtime.
    pub runtime: Runtime,
}

impl Declared {
    /// The declared cgroup that `path` is, or is in.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Declaration> {
        let declared = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if declared.is_empty() {
            return None;
        }
        let ends = path.match_indices('/').map(|(end, _)| end);
        ends.chain([path.len()]).find_map(|end| {
            let top = path.get(..end)?;
            let (id, runtime) = declared.get(top)?;
            Some(Declaration {
                top: top.to_owned(),
                id: id.clone(),
                runtime: *runtime,
            })
        })
    }

    /// Declares a cgroup; `false` when there are too many.
    pub(in super::super) fn add(&self, declaration: Declaration) -> bool {
        let mut declared = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if declared.len() >= MAX_DECLARED && !declared.contains_key(&declaration.top) {
            return false;
        }
        declared.insert(declaration.top, (declaration.id, declaration.runtime));
        true
    }

    /// Keeps those of which `there` is true.
    pub(in super::super) fn retain(&self, there: impl Fn(&str) -> bool) {
        let mut declared = self.0.write().unwrap_or_else(PoisonError::into_inner);
        declared.retain(|top, _| there(top));
    }

    /// The cgroup has gone.
    pub(in super::super) fn remove(&self, top: &str) {
        let mut declared = self.0.write().unwrap_or_else(PoisonError::into_inner);
        declared.remove(top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_declared_cgroup_is_the_containers_and_nothing_else() {
        let declared = Declared::default();
        assert_eq!(declared.find("web"), None);
        let web = Declaration {
            top: "a/web".to_owned(),
            id: "web".to_owned(),
            runtime: Runtime::Oci,
        };
        assert!(declared.add(web.clone()));
        for path in ["a/web", "a/web/init.scope", "a/web/x/y"] {
            assert_eq!(declared.find(path), Some(web.clone()), "{path}");
        }
        for path in ["a", "", "a/web2", "a/we", "web", "b/a/web"] {
            assert_eq!(declared.find(path), None, "{path}");
        }
        declared.retain(|top| top == "a/web");
        assert_eq!(declared.find("a/web"), Some(web));
        declared.remove("a/web");
        assert_eq!(declared.find("a/web"), None);
    }

    #[test]
    fn there_are_not_endlessly_many() {
        let declared = Declared::default();
        let add = |number: usize| {
            declared.add(Declaration {
                top: number.to_string(),
                id: String::new(),
                runtime: Runtime::Oci,
            })
        };
        assert!((0..MAX_DECLARED).all(add));
        assert!(!add(MAX_DECLARED));
        assert!(add(0));
    }
}
