//! Templates applied to values, beside what Docker's documents show.

use bedplate_template::{MAX_DEPTH, MAX_OUTPUT, MAX_STEPS, MAX_TEXT, Shape, Template};
use proptest::prelude::*;
use serde_json::{Value, json};

fn image() -> Value {
    json!({
        "Id": "sha256:abc",
        "RepoTags": ["hello:latest", "hello:1"],
        "Size": 77829120,
        "Ratio": 0.5,
        "Config": {
            "Cmd": ["/bin/sh", "-c", "echo hi"],
            "Entrypoint": null,
            "Env": ["PATH=/usr/bin:/bin", "A=b"],
            "Labels": {"maintainer": "me", "org.opencontainers.image.version": "13"},
            "Volumes": null,
            "User": "",
            "Tty": false,
            "ExposedPorts": {"443/tcp": {}, "80/tcp": {}}
        },
        "State": null,
        "RootFS": {"Type": "layers", "Layers": ["sha256:1", "sha256:2"]}
    })
}

fn render(text: &str) -> Result<String, String> {
    Template::parse(text)
        .and_then(|template| template.render(&image(), &Shape::DOCKER))
        .map_err(|error| error.to_string())
}

#[test]
fn templates_and_their_output() {
    let table = [
        // Plain text, comments and trimming.
        ("", ""),
        ("plain } text {", "plain } text {"),
        ("a {{/* comment */}} b", "a  b"),
        ("a {{- /* comment */ -}} b", "ab"),
        ("a  {{- \"x\" -}}  b", "axb"),
        ("{{\n.Id\n}}", "sha256:abc"),
        // Fields.
        ("{{.Id}}", "sha256:abc"),
        ("{{ .Config.Cmd }}", "[/bin/sh -c echo hi]"),
        ("{{.Config.Labels}}", "map[maintainer:me org.opencontainers.image.version:13]"),
        ("{{.Config.ExposedPorts}}", "map[443/tcp:{} 80/tcp:{}]"),
        ("{{.Size}} {{.Ratio}} {{.Config.Tty}}", "77829120 0.5 false"),
        ("{{.State}}", "<no value>"),
        ("{{.Config.Volumes}} {{.Config.Entrypoint}}", "map[] []"),
        ("{{.Config.Labels.maintainer}}", "me"),
        ("{{.Config.Labels.absent}}", "<no value>"),
        ("{{.Config.Healthcheck}}|{{.Config.StopSignal}}|{{.Config.OnBuild}}", "<nil>||[]"),
        ("{{(index .RepoTags 0)}}", "hello:latest"),
        ("{{(.Config).Labels.maintainer}}", "me"),
        ("{{$.Config.User}}|{{$.Id}}", "|sha256:abc"),
        // Docker's documents: inspect, image inspect.
        ("{{json .Config.Env}}", r#"["PATH=/usr/bin:/bin","A=b"]"#),
        ("{{json .Config.Labels}}", r#"{"maintainer":"me","org.opencontainers.image.version":"13"}"#),
        ("{{index .Config.Labels \"org.opencontainers.image.version\"}}", "13"),
        ("{{index .Config.Labels \"absent\"}}", ""),
        ("{{index .Config.Volumes \"absent\"}}", "{}"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "PATH=/usr/bin:/bin\nA=b\n"),
        ("{{range $p, $conf := .Config.ExposedPorts}} {{$p}} -> {{len $conf}} {{end}}", " 443/tcp -> 0  80/tcp -> 0 "),
        ("{{join .Config.Cmd \" , \"}}", "/bin/sh , -c , echo hi"),
        ("{{split (index .RepoTags 0) \":\"}}", "[hello latest]"),
        ("{{title \"hello world\"}} {{upper \"hello\"}} {{lower \"HELLO\"}}", "Hello World HELLO hello"),
        ("{{pad \"x\" 1 2}}|{{pad \"\" 1 2}}|", " x  ||"),
        ("{{truncate .Id 6}}|{{truncate \"äöü\" 2}}|{{truncate \"a\" 5}}", "sha256|äö|a"),
        // Blocks.
        ("{{if .Config.User}}{{.Config.User}}{{else}}root{{end}}", "root"),
        ("{{if .Size}}a{{else if .State}}b{{else}}c{{end}}", "a"),
        ("{{if .State}}a{{else if .Size}}b{{else}}c{{end}}", "b"),
        ("{{if .State}}a{{else if .Config.Tty}}b{{else}}c{{end}}", "c"),
        ("{{with .Config}}{{.Tty}}{{end}}{{with .State}}x{{else}} none{{end}}", "false none"),
        ("{{with .State}}x{{else with .Config}}{{len .Env}}{{end}}", "2"),
        ("{{range .Config.Entrypoint}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $v := .RepoTags}}{{$i}}={{$v}};{{end}}", "0=hello:latest;1=hello:1;"),
        ("{{range $v := .RepoTags}}{{$v}};{{end}}", "hello:latest;hello:1;"),
        (
            "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}}",
            "maintainer=me,org.opencontainers.image.version=13,",
        ),
        ("{{range .RepoTags}}{{.}}{{break}}{{end}}", "hello:latest"),
        ("{{range $i, $v := .RepoTags}}{{if eq $i 0}}{{continue}}{{end}}{{$v}}{{end}}", "hello:1"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        // Variables.
        ("{{$x := .Id}}{{$x}}", "sha256:abc"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("{{with $x := .Config}}{{len $x.Env}}{{end}}", "2"),
        ("{{if $x := .Size}}{{$x}}{{end}}", "77829120"),
        // Pipelines.
        ("{{.Config.Env | len}}", "2"),
        ("{{.Id | printf \"%s-%s\" \"x\"}}", "x-sha256:abc"),
        ("{{.Id | upper | lower | printf \"%q\"}}", "\"sha256:abc\""),
        ("{{(index .RepoTags 1) | print}}", "hello:1"),
        // Comparison and logic.
        ("{{eq .Size 77829120}} {{eq 1 2 3 1}} {{ne \"a\" \"b\"}}", "true true true"),
        (
            "{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}} {{lt \"a\" \"b\"}} {{lt 1.5 2.5}}",
            "true true false true true true",
        ),
        ("{{and 1 0 2}} {{and 1 2}} {{or 0 \"\" \"x\"}} {{or 0 \"\"}} {{not 0}}", "0 2 x  true"),
        ("{{and .State .State.Health}}", "<no value>"),
        ("{{if or (eq .Id \"x\") (gt .Size 5)}}y{{end}}", "y"),
        ("{{eq .State nil}} {{eq .Id nil}}", "true false"),
        // Printing.
        ("{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3"),
        ("{{println 1 \"a\"}}", "1 a\n"),
        ("{{printf \"%-8s|%5d|%v\" .Id .Size .RepoTags}}", "sha256:abc|77829120|[hello:latest hello:1]"),
        ("{{html \"<a href='x'>&\"}}", "&lt;a href=&#39;x&#39;&gt;&amp;"),
        ("{{js \"it's <b>\"}}", "it\\'s \\u003Cb\\u003E"),
        ("{{urlquery \"a b&c=/\"}}", "a+b%26c%3D%2F"),
        ("{{slice .Id 7}} {{slice .Id 0 6}} {{slice .RepoTags 1}}", "abc sha256 [hello:1]"),
        ("{{len \"äö\"}} {{len .Config.Labels}} {{len .Config.Volumes}}", "4 2 0"),
        ("{{'a'}} {{0x10}} {{1_000}} {{`raw\\n`}} {{\"t\\tb\"}}", "97 16 1000 raw\\n t\tb"),
        ("{{true}} {{false}}", "true false"),
        ("{{json \"<&>\"}}", "\"<&>\""),
    ];
    for (text, expected) in table {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn templates_that_fail_and_their_messages() {
    let table = [
        // The place in a chain is that of its second field, as Docker prints it.
        ("{{.Foo}}", "template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        (
            "{{.Config.Foo.Bar}}",
            "template: :1:9: executing \"\" at <.Config.Foo.Bar>: map has no entry for key \"Foo\"",
        ),
        ("x\n y{{.Foo}}", "template: :2:4: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        ("{{.State.Health}}", "template: :1:8: executing \"\" at <.State.Health>: nil pointer evaluating field Health"),
        ("{{.Id.Foo}}", "template: :1:5: executing \"\" at <.Id.Foo>: can't evaluate field Foo in type string"),
        ("{{.Id 1}}", "template: :1:2: executing \"\" at <.Id>: Id is not a method but has arguments"),
        (
            "{{index .RepoTags 2}}",
            "template: :1:2: executing \"\" at <index .RepoTags 2>: error calling index: index out of range: 2",
        ),
        (
            "{{index .RepoTags -1}}",
            "template: :1:2: executing \"\" at <index .RepoTags -1>: error calling index: index out of range: -1",
        ),
        (
            "{{index .RepoTags \"a\"}}",
            "template: :1:2: executing \"\" at <index .RepoTags \"a\">: error calling index: cannot index slice/array with type string",
        ),
        (
            "{{index .State 0}}",
            "template: :1:2: executing \"\" at <index .State 0>: error calling index: index of untyped nil",
        ),
        ("{{len 3}}", "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int"),
        ("{{len}}", "template: :1:2: executing \"\" at <len>: wrong number of args for len: want 1 got 0"),
        (
            "{{eq 1 \"a\"}}",
            "template: :1:2: executing \"\" at <eq 1 \"a\">: error calling eq: incompatible types for comparison",
        ),
        (
            "{{eq 1 1.5}}",
            "template: :1:2: executing \"\" at <eq 1 1.5>: error calling eq: incompatible types for comparison",
        ),
        (
            "{{lt true false}}",
            "template: :1:2: executing \"\" at <lt true false>: error calling lt: invalid type for comparison",
        ),
        ("{{lower 3}}", "template: :1:2: executing \"\" at <lower>: wrong type for value; expected string; got int"),
        (
            "{{join .Id \",\"}}",
            "template: :1:2: executing \"\" at <join>: wrong type for value; expected []string; got string",
        ),
        (
            "{{slice .Id 3 1}}",
            "template: :1:2: executing \"\" at <slice .Id 3 1>: error calling slice: invalid slice index: 3 > 1",
        ),
        (
            "{{pad .Id 1 5000}}",
            "template: :1:2: executing \"\" at <pad .Id 1 5000>: error calling pad: padding 5000 is out of range 0..=4096",
        ),
        ("{{range .Id}}{{end}}", "template: :1:8: executing \"\" at <.Id>: range can't iterate over sha256:abc"),
        ("{{nil}}", "template: :1:2: executing \"\" at <nil>: nil is not a command"),
        // What is no template.
        ("{{", "template: :1:0: unclosed action"),
        ("a\n{{.Id", "template: :2:0: unclosed action"),
        ("{{}}", "template: :1:2: missing value for command"),
        ("{{if}}{{end}}", "template: :1:4: missing value for if"),
        ("{{if .Id}}", "template: :1:2: unexpected EOF: {{if}} has no {{end}}"),
        ("{{range .Id}}{{else}}", "template: :1:2: unexpected EOF: {{range}} has no {{end}}"),
        ("{{end}}", "template: :1:2: unexpected {{end}}"),
        ("{{else}}", "template: :1:2: unexpected {{else}}"),
        ("{{if .Id}}{{else}}{{else}}{{end}}", "template: :1:20: unexpected {{else}}"),
        ("{{break}}", "template: :1:2: unexpected {{break}}"),
        ("{{foo .Id}}", "template: :1:2: function \"foo\" not defined"),
        ("{{jsn .}}", "template: :1:2: function \"jsn\" not defined, did you mean \"json\"?"),
        ("{{call .Id}}", "template: :1:2: function \"call\" not defined"),
        ("{{$x}}", "template: :1:2: undefined variable \"$x\""),
        ("{{$x = 1}}", "template: :1:2: undefined variable \"$x\""),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "template: :1:31: undefined variable \"$x\""),
        ("{{define \"x\"}}{{end}}", "template: :1:2: {{define}} is not supported"),
        ("{{.Id | }}", "template: :1:8: missing value for command"),
        ("{{.Id | 3}}", "template: :1:8: non executable command in pipeline stage 2"),
        ("{{(.Id}}", "template: :1:6: unexpected \"}}\" in parenthesized pipeline"),
        ("{{.Id)}}", "template: :1:5: unexpected \")\" in command"),
        ("{{.Id,}}", "template: :1:5: unexpected \",\" in operand"),
        ("{{1.2.3}}", "template: :1:2: bad number syntax: \"1.2.3\""),
        ("{{\"\\q\"}}", "template: :1:2: invalid syntax in constant \"\\q\""),
        ("{{if .Id else}}{{end}}", "template: :1:9: unexpected <else> in command"),
    ];
    for (text, expected) in table {
        assert_eq!(render(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn limits_on_both_sides() {
    let nested = |depth: usize| format!("{{{{{}1{}}}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(render(&nested(MAX_DEPTH)).unwrap(), "1");
    assert!(render(&nested(MAX_DEPTH + 1)).unwrap_err().contains("nested deeper"));

    assert!(render(&"x".repeat(MAX_TEXT)).is_ok());
    assert!(render(&"x".repeat(MAX_TEXT + 1)).unwrap_err().contains("longer than"));

    // Each turn is one step of the loop and one of the text inside.
    assert!(render(&format!("{{{{range {}}}}}x{{{{end}}}}", MAX_STEPS / 4)).is_ok());
    assert!(render(&format!("{{{{range {MAX_STEPS}}}}}x{{{{end}}}}")).unwrap_err().contains("steps"));

    let doubled =
        |turns: usize| format!("{{{{$x := printf \"%1000000d\" 1}}}}{{{{range {turns}}}}}{{{{$x}}}}{{{{end}}}}");
    assert!(render(&doubled(MAX_OUTPUT / 1_000_000)).is_ok());
    assert!(render(&doubled(MAX_OUTPUT / 1_000_000 + 1)).unwrap_err().contains("output is longer"));
}

#[test]
fn strict_shape_names_every_absent_field() {
    let template = Template::parse("{{.Labels.a}}").unwrap();
    let data = json!({"Labels": {}});
    assert!(template.render(&data, &Shape::STRICT).is_err());
    assert_eq!(template.render(&data, &Shape::DOCKER).unwrap(), "<no value>");
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[{}. \\-|()$a-zA-Z\"'`0-9:=,/*\n]{0,60}") {
        bedplate_template::fuzz::template(text.as_bytes());
        bedplate_template::fuzz::table(text.as_bytes());
    }

    #[test]
    fn any_action_is_parsed_or_refused(text in "\\{\\{(if|with|range|index|len|printf|eq|slice|split|json)? ?[. |()$A-Ca-c\"0-9:=,\\-]{0,30}\\}\\}(x\\{\\{end\\}\\})?") {
        bedplate_template::fuzz::template(text.as_bytes());
    }

    #[test]
    fn text_without_actions_is_itself(text in "[^{]*") {
        prop_assert_eq!(render(&text), Ok(text));
    }
}
