//! One test for each line of SEMANTICS that binds a build: the cases that stand for it, and what they expect.

use super::{Builds, cases, own_faults};

macro_rules! lines {
    ($($number:literal $name:ident)*) => {$(
        #[test]
        fn $name() {
            holds($number, stringify!($name));
        }
    )*};
}

lines! {
    1 directives_stand_at_the_very_top
    2 marks_comments_and_empty_lines_are_no_text
    3 exec_form_that_is_no_json_is_shell_form
    4 one_value_replaces_in_a_whole_instruction
    5 unset_empty_and_patterns_are_distinct
    6 arguments_have_scopes_and_yield_to_env
    7 proxies_and_platforms_are_predefined
    8 arguments_are_in_the_history_of_run
    9 stages_have_names_and_numbers
    10 heredocs_are_files_or_scripts
    11 scratch_begins_with_a_path
    12 entrypoint_resets_an_inherited_cmd
    13 shell_forms_go_to_the_shell
    14 workdir_makes_its_directory
    15 user_is_a_string_until_it_is_used
    16 volume_keeps_what_comes_later
    17 triggers_run_once_after_from
    18 labels_of_sources_stay_there
    19 ports_are_tcp_and_ranges
    20 signals_and_checks_are_looked_at
    21 history_has_an_entry_for_each_instruction
    22 directories_give_their_contents
    23 parents_are_dropped_and_links_followed
    24 wildcards_are_those_of_filepath_match
    25 archives_are_known_by_content
    26 urls_are_fetched_and_not_unpacked
    27 owners_of_archives_are_changed
    28 owners_are_numbers_or_the_images_names
    29 modes_are_octal_or_symbolic
    30 git_sources_go_through_git
    31 types_do_not_mix
    32 ignore_files_are_patternmatchers
}

fn holds(line: u32, name: &str) {
    let builds = Builds::new(&format!("corpus::semantics::{name}"));
    let rows: Vec<_> = cases().into_iter().filter(|case| case.semantics.contains(&line)).collect();
    assert!(!rows.is_empty(), "no case for line {line}");
    for case in &rows {
        assert!(!case.expect.is_empty() || case.fails.is_some(), "{}: expects nothing", case.name);
    }
    let built = builds.each(rows, |case| own_faults(case, &builds.build(case)));
    let faults: Vec<String> =
        built.iter().filter_map(|(case, fault)| Some(format!("{}: {}", case.name, fault.as_ref()?))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
