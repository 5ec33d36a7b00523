//! Plans as psql and auto_explain print them.

use super::*;

/// As psql prints it: a title, a rule, a blank before each line, a count of rows.
const ANALYZED: &str = r#"                                    QUERY PLAN
-----------------------------------------------------------------------------------
 Limit  (cost=10.00..20.00 rows=10 width=8) (actual time=1.000..2.000 rows=10 loops=1)
   Buffers: shared hit=3 read=4, temp read=5 written=6
   I/O Timings: shared/local read=0.700
   CTE recent
     ->  Seq Scan on public."My t" m  (cost=0.00..5.00 rows=100 width=4) (actual time=0.010..0.500 rows=90 loops=1)
           Filter: ((a = 1) AND (b = 'x: y'::text))
           Rows Removed by Filter: 910
   ->  Hash Left Join  (cost=10.00..20.00 rows=100 width=8) (actual time=0.9..1.9 rows=100 loops=1)
         Hash Cond: (recent.a = o.a)
         ->  CTE Scan on recent  (cost=0.00..2.00 rows=100 width=4) (actual time=0.010..0.600 rows=90 loops=1)
         ->  Hash  (cost=5.00..5.00 rows=1000 width=4) (actual time=0.3..0.3 rows=1000 loops=1)
               Buckets: 1024  Batches: 4 (originally 1)  Memory Usage: 40kB
               ->  Gather  (cost=0.00..5.00 rows=1000 width=4) (actual time=0.1..0.2 rows=1000 loops=1)
                     Workers Planned: 2
                     Workers Launched: 1
                     ->  Parallel Index Only Scan Backward using o_a on o  (cost=0.00..5.00 rows=500 width=4) (actual time=0.1..0.2 rows=500.50 loops=2)
                           Index Cond: (a > 3)
                           Heap Fetches: 7
         SubPlan 2
           ->  Sort  (cost=1.00..1.00 rows=1 width=4) (never executed)
                 Sort Key: x DESC, (f(a, b))
 Planning:
   Buffers: shared hit=99
 Planning Time: 0.300 ms
 JIT:
   Functions: 4
   Timing: Generation 1.0 ms, Inlining 2.0 ms, Optimization 3.0 ms, Emission 4.0 ms, Total 10.5 ms
 Trigger for constraint fk_o on o: time=1.500 calls=20
 Trigger audit: time=0.500 calls=2
 Execution Time: 3.000 ms
(30 rows)
"#;

fn read(text: &str) -> Plan {
    parse(text, 100).unwrap()
}

#[test]
fn a_plan_in_psqls_frame() {
    let plan = read(ANALYZED);
    let nodes: Vec<String> = plan
        .nodes()
        .map(|node| {
            let parts = [
                Some(node.node_type.as_str()),
                node.join_type.as_deref(),
                node.index.as_deref(),
                node.relation.as_deref(),
                node.parent_relationship.as_deref(),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join("/")
        })
        .collect();
    assert_eq!(
        nodes,
        [
            "Limit",
            "Seq Scan/My t/InitPlan",
            "Hash Join/Left/Outer",
            "CTE Scan/Outer",
            "Hash/Inner",
            "Gather/Outer",
            "Index Only Scan/o_a/o/Outer",
            "Sort/SubPlan",
        ]
    );
    let limit = plan.root.actual.as_ref().unwrap();
    assert_eq!(
        (
            limit.shared_read_blocks,
            limit.temp_written_blocks,
            limit.read_ms
        ),
        (4.0, 6.0, Some(0.7))
    );
    let scan = &plan.root.children[0];
    assert_eq!(scan.schema.as_deref(), Some("public"));
    assert_eq!(scan.subplan_name.as_deref(), Some("CTE recent"));
    assert_eq!(
        scan.filter.as_deref(),
        Some("((a = 1) AND (b = 'x: y'::text))")
    );
    assert!((scan.actual.as_ref().unwrap().removed_by_filter - 910.0).abs() < 0.1);
    let nodes: Vec<&PlanNode> = plan.nodes().collect();
    let hash = nodes[4].actual.as_ref().unwrap();
    assert_eq!((hash.n_batches, hash.n_original_batches), (4.0, 1.0));
    assert_eq!(nodes[5].n_workers_launched, Some(1));
    let index_only = nodes[6].actual.as_ref().unwrap();
    assert_eq!((index_only.rows, index_only.heap_fetches), (500.5, 7.0));
    assert!(nodes[7].actual.as_ref().unwrap().n_loops < 0.5);
    assert_eq!(nodes[7].sort_keys, ["x DESC", "(f(a, b))"]);
    assert_eq!(
        (plan.planning_ms, plan.execution_ms, plan.jit_ms),
        (Some(0.3), Some(3.0), Some(10.5))
    );
    let triggers: Vec<_> = plan
        .triggers
        .iter()
        .map(|t| (t.name.as_str(), t.of_constraint, t.relation.as_deref()))
        .collect();
    assert_eq!(
        triggers,
        [("fk_o", true, Some("o")), ("audit", false, None)]
    );
}

#[test]
fn a_plan_of_auto_explain_has_its_statement_before_it() {
    let plan = read(
        "Query Text: SELECT a -> 'b'\n\t-> 'c' FROM t\nSeq Scan on t  (cost=0.00..1.01 rows=1 width=4)\n  Filter: (a = 1)",
    );
    assert_eq!(plan.root.relation.as_deref(), Some("t"));
    assert_eq!(plan.root.filter.as_deref(), Some("(a = 1)"));
    assert!(plan.root.actual.is_none() && plan.root.children.is_empty());
}

#[test]
fn what_is_no_plan_is_refused() {
    for text in ["", "SELECT 1", "->  ", "  (cost=", "\n->  Seq Scan on t\n"] {
        let read = parse(text, 100);
        assert!(
            matches!(&read, Err(PlanError::NoNode))
                || read.is_ok_and(|plan| plan.root.children.is_empty()),
            "{text:?}"
        );
    }
    let lines =
        (0..200).map(|n| " ".repeat(n * 6) + "->  Result  (cost=0.00..0.01 rows=1 width=4)");
    let deep = lines.collect::<Vec<_>>().join("\n");
    assert!(matches!(parse(&deep, 100), Err(PlanError::TooDeep)));
}
