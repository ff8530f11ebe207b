//! What the target is, and what stages name.

use bedplate_dockerfile::{Dockerfile, Stage};

use crate::error::BuildError;

/// Finds the target: by name, by number, or the last stage.
pub(crate) fn target(file: &Dockerfile, wanted: Option<&str>) -> Result<usize, BuildError> {
    let last = file.stages.len().saturating_sub(1);
    let Some(name) = wanted.filter(|name| !name.is_empty()) else { return Ok(last) };
    file.find_stage(name, file.stages.len()).ok_or_else(|| BuildError::Target {
        name: name.to_owned(),
        near: file.nearest_stage(name, file.stages.len()).map(str::to_owned),
    })
}

/// How a stage is called in messages: its name, or its number.
pub(crate) fn label(index: usize, stage: &Stage) -> String {
    stage.name().map_or_else(|| format!("stage-{index}"), |name| name.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_sources_are_found() {
        let file = Dockerfile::parse(
            b"FROM a AS one\nFROM b AS two\nCOPY --from=one /x /\nCOPY --from=0 /y /\nCOPY --from=img /z /\n\
              FROM two\nRUN --mount=from=one,target=/x --mount=type=tmpfs,target=/t true\n",
        )
        .unwrap();
        assert_eq!(target(&file, None).unwrap(), 2);
        assert_eq!(target(&file, Some("TWO")).unwrap(), 1);
        assert_eq!(target(&file, Some("0")).unwrap(), 0);
        let error = target(&file, Some("tow")).unwrap_err().to_string();
        assert_eq!(error, "there is no stage \"tow\" (did you mean \"two\"?)");
        let names = |index: usize| file.stages[index].named().iter().map(|(_, name)| *name).collect::<Vec<_>>();
        assert_eq!(names(1), ["one", "0", "img"]);
        assert_eq!(names(2), ["one"]);
        assert_eq!(label(2, &file.stages[2]), "stage-2");
    }
}
