-- One query a line, over the tables of test_bind.py: each construct that is supported, with NULLs and duplicates.
select * from t
select a, b as z, a+b from t
select a+1, b*2, c*1.5, c-1, -c, c/2, a/b, a//2, a%2, b%a from t
select t.a, u.a from t, u
select * from t join u using (a)
select * from t left join u using (a)
select * from t right join u using (a)
select * from t full join u using (a)
select a, t.a, u.a from t full join u using (a)
select * from t natural join u
select * from t join u on t.a=u.a and t.c>u.v
select * from t left join u on t.a=u.a and u.v>2 where t.b is not null
select * from t left join u on t.a=u.a where u.k is null
select * from t full join u on t.a=u.k
select * from t cross join u where t.a<u.a
select * from t semi join u on t.a=u.a
select * from t anti join u on t.a=u.a
select * from t semi join u using (a)
select count(*) from t
select count(*), count(a), count(distinct a), sum(a), avg(a), min(a), max(s) from t
select a, count(*) from t group by a
select a, sum(b) from t group by a having sum(b)>5
select a x, sum(c) from t group by x order by x
select a, sum(c) from t group by 1 order by 2 desc
select a+1 as y, count(*) from t group by a+1
select a+1, a+1+2, count(*)+1 from t group by a+1
select a, count(*) from t group by all
select a, s, count(*) from t group by rollup(a,s)
select a, s, grouping(a), grouping(a,s), sum(c) from t group by cube(a,s)
select a, s, count(*) from t group by grouping sets ((a),(s),())
select sum(c) from t group by rollup(a)
select count(*) from e
select a, count(*) from e group by rollup (a)
select sum(a) from e having count(*)>0
select distinct a, b from t
select distinct a from t order by a desc limit 2
select a from t union select a from u
select a from t union all select a from u
select a from t intersect select a from u
select a from t intersect all select a from u
select a from t except select a from u
select a from t except all select a from u
select a, c from t union all select a, v from u order by 1,2
select 1 union select 1.5
(select a from t order by a limit 1) union all (select a from u order by a desc limit 1)
select a from t order by b limit 2 offset 1
select a, b from t order by b desc nulls first, a limit 3
select case when a=1 then 'one' when a=2 then 'two' else 'many' end from t
select case a when 1 then b when 2 then 3 end from t
select * from t where a in (1,2)
select * from t where a not in (1,null)
select a in (1,null) from t
select * from t where a between 1 and 2 and not (b between 1 and 10)
select * from t where s like 'x%'
select * from t where s not like '%y' or s is null
select * from t where s ilike 'X'
select s like 'a!%' escape '!' from t
select * from t where exists (select 1 from u where u.a=t.a)
select * from t where not exists (select 1 from u where u.a=t.a and u.k<>t.b)
select * from t where a in (select a from u)
select * from t where a not in (select a from u)
select * from t where a not in (select a from u where a is not null)
select * from t where a not in (select a from u where u.s=t.s)
select a in (select a from u) from t
select exists(select 1 from u where u.a=t.a), not exists (select 1 from u) from t
select a, a in (select a from u where u.s=t.s) or b>5 from t
select * from t where a in (select a from u) or b=5
select (select max(v) from u) from t
select a, (select max(v) from u where u.a=t.a) from t
select a, (select count(*) from u where u.a=t.a) from t
select a, (select count(*)+1 from u where u.a=t.a) from t
select a, (select coalesce(sum(v),0) from u where u.a=t.a) from t
select a, (select sum(v) from u where u.a=t.a having count(*)>1) from t
select a, (select v from u where u.k=t.a) from t
select * from t where c > (select avg(v) from u)
select * from t where c < (select 0.2*avg(v) from u where u.a=t.a)
select a, sum(c) from t group by a having sum(c) > (select avg(v) from u)
select a, sum(c), (select max(v) from u where u.a=t.a) from t group by a
with r as (select a, sum(c) x from t group by a) select * from r where x = (select max(x) from r)
with r(p,q) as (select a,b from t), z as (select p from r) select r.q, z.p from r join z on r.p=z.p
select * from (select a, b from t) as x(m, n) where m>1
select * from (select a, a from t) q
select x.a_1 from (select a, a from t) x
values (1,'a'),(2,null)
select * from (values (1,'a'),(2,null)) v(x,y)
select * exclude (a) from u
select u.*, t.a from u join t on t.a=u.k
select * replace (a+1 as a) from u
select * rename (a as z) from u
select extract(year from d), month(d), date_part('day', d), quarter(d), dayofweek(d), week(d), date_part('doy', d) from t
select hour(ts), extract(second from ts), ts::date from t
select d + interval 1 day, d - interval '3' month, d + 1, d - 1, d - date '2020-01-01' from t
select * from t where d >= date '2020-01-01' and d < date '2020-01-01' + interval '1' year
select * from t where d <= date '2020-12-01' - interval '90' day
select * from t where d between '2020-01-01' and '2020-12-31'
select date_trunc('month', d), date_diff('day', d, date '2020-12-31'), date_diff('month', d, ts) from t
select upper(s), lower(s), length(s), substring(s,1,1), left(s,1), right(s,1), s||'!', concat(s,a,'z'), replace(s,'x','yy'), trim(s), reverse(s), strpos(s,'y') from t
select substring(s from 1 for 1), starts_with(s,'x'), contains(s,'y') from t
select coalesce(a,0), nullif(a,2), ifnull(b,1), greatest(a,b), least(a,b,3), if(a=1,b,a) from t
select abs(c), sign(a), round(c), round(c,1), floor(c), ceil(c), sqrt(abs(f)), exp(f), trunc(c) from t
select a::bigint, c::int, c::decimal(10,1), a::varchar, p::int, f::decimal(8,2), c::double, a::decimal(5,2) from t
select a=b, a<>b, a is distinct from b, a is not distinct from b, a is null, p is true, p is not false from t
select p and a=1, p or a=1, not p from t
select row_number() over (order by b, c, a, s), rank() over (order by a), dense_rank() over (order by a desc) from t
select a, sum(c) over (partition by a) from t
select b, sum(c) over (order by b, s, a), count(*) over (), avg(b) over (partition by p) from t
select b, sum(b) over (order by b rows between unbounded preceding and current row) from u join t using (a)
select a, lag(a) over (order by k), lead(a, 2, 0) over (order by k), first_value(a) over (order by k), last_value(a) over (order by k) from u
select a, rank() over w, sum(v) over w from u window w as (partition by s order by k)
select * from u qualify row_number() over (partition by a order by k desc) = 1
select a, count(*), rank() over (order by count(*) desc) from t group by a
select a, sum(sum(c)) over (order by a) from t group by a
select median(a), quantile_cont(a,0.25), quantile_disc(a,0.5), median(c), quantile_cont(c, 0.3) from t
select percentile_cont(0.25) within group (order by a), percentile_disc(0.5) within group (order by c) from t
select var_samp(a), stddev(c), var_pop(a), stddev_pop(f), variance(a) from t
select corr(a,b), covar_pop(a,b), covar_samp(a,b), regr_slope(a,b), regr_intercept(a,b), regr_r2(a,b), regr_count(a,b), regr_avgx(a,b), regr_sxx(a,b), regr_sxy(a,b) from t
select bool_and(p), bool_or(p), any_value(1) from t
select count(*) filter (where a=2), sum(b) filter (where p) from t
select sum(distinct c), avg(distinct a), count(distinct s) from t
select count_if(p) from t
select sum(case when a=2 then c else 0 end)/sum(c) from t
select 100.00*sum(case when s like 'x%' then c*(1-0.1) else 0 end)/sum(c*(1-0.1)) from t
select sum(c)/7.0 from t
select a from t where a = (select min(a) from u)
select a from t where (a,s) in (select a,s from u)
select a from t where a = any(select a from u)
select a from t where a <> all(select a from u where a is not null)
select t.a from t join (u join e on u.a=e.a) on t.a=u.a
select x.a from t x, t y where x.a=y.a and x.b<y.b
select sum(p) from t
select max(d), min(ts), max(p) from t
select a from t where true
select 1, 'x', null, true, 1.5, date '2020-01-01', 1e3
select a, b from t where a > 1 group by a, b order by a, b
select a as x, x+1 as y from t
select s, count(*) c from t group by s order by c desc, s
select count(*) from t where a in (select u.a from u where u.v > (select avg(v) from u u2 where u2.a = u.a))
select a from t where b > (select avg(b) from t t2 where t2.a=t.a) order by a
select distinct s from t where length(s) > 0
select a, sum(b) s from t group by a order by sum(c), a
from t
select min(a)+max(b) from t
select t.a from t where exists (select * from u where u.a=t.a and exists (select 1 from e where e.a=u.a))
select 5 // 2, -7 % 3, 7/2, 1+1, 2*3, abs(-3), upper('abc'), '2020-01-31'::date + interval 1 month
select a from t order by all
select date_part('isodow', d), date_part('epoch', d) from t
select ts + interval '1' hour, ts - interval '1' month from t
select strftime(d, '%Y-%m') from t
select d::timestamp, ts > d, ts > '2020-01-01' from t
select a from t limit 0
select count(*) from (select a from t limit 3)
select t.a, x.n from t join (select a, count(*) n from u group by a) x on t.a = x.a
select a, (select max(v) from u where u.a=t.a and u.s=t.s) m, (select min(k) from u where u.a=t.a) from t order by m desc
select a from t where (select count(*) from u where u.a=t.a) = 0
select a from t where (select count(*) from u where u.a=t.a) > 1 or a is null
select a, sum((b)) from t where exists (select 1 from u where u.a=t.a or u.k=t.b) group by a
select a from t where exists (select 1 from u where u.v > t.c)
select a from t where not exists (select 1 from u where u.v > t.c and u.a = t.a)
select a from t where exists (select a from u where u.a = t.a group by a having count(*)>=1)
select a from t where exists (select distinct s from u where u.a = t.a order by 1 limit 5)
select a from t where a in (select k from u where v > 1) and s in (select s from u)
select a from t where a in (select max(k) from u group by s)
select a from t where a in (select k from u union select 3)
select a from t where a in (select k from u order by v limit 2)
select count(*) from t where a not in (select k from u where u.v > t.c)
select case when exists (select 1 from u where u.a=t.a) then 'y' else 'n' end r, count(*) from t group by r
select case when a in (select k from u) then 1 else 0 end from t
select a, count(*) from t group by a having a in (select a from u)
select a, count(*) c from t group by a having exists (select 1 from u where u.a = t.a)
select a, count(*) c from t group by a having count(*) > (select min(k) from u)
select a, s, sum(b) from t group by grouping sets ((a, s), rollup(a))
select a, s, sum(b) from t group by a, rollup(s)
select a, count(*) from t group by cube(a) having grouping(a)=0
select a, s, count(*) from t group by rollup((a,s))
select a % 2 as m, count(*) from t group by m order by m
select upper(s) u, count(*) from t group by upper(s) having upper(s) > 'A'
select sum(a) over (), * from t
select a, row_number() over (partition by a order by b, c, s, p) r from t qualify r = 1
select a, b, rank() over (partition by a order by b) from t where b is not null order by a, b
select a, count(*) filter (where b > 5) over (partition by a) from t
select lag(a, 1) over (order by k desc) - a from u
select sum(sum(v)) over (), a from u group by a
select max(a) - min(a), sum(a*b), sum(a)*2, avg(c)*2, avg(c)+1 from t
select avg(a) > 1, avg(c) < 0.5 from t
select sum(c)/count(*), sum(a)/count(a), 1.0*sum(a)/count(*) from t
select count(distinct a) + count(distinct s) from t
select avg(case when p then c end) from t
select min(s), max(s), min(d), max(ts) from t group by p
with a as (select a, b from t), b as (select * from a where a > 1), c as (select * from b union all select * from a) select c.a, count(*) from c join b on b.a = c.a group by c.a
with x as (select * from t) select x1.a, x2.b from x x1, x x2 where x1.a = x2.a and x1.b < x2.b
with x as (select 1 as one) select (with y as (select one + 1 as two from x) select two from y)
with x as (select a from t), x2 as (with x as (select k from u) select * from x) select * from x2
select * from (select * from (select a, b from t where a = 2) where b = 20)
select q.* from (select a+1 as z, s from t) q where q.z > 2
select t1.a, t2.k, t3.b from t t1 left join u t2 on t1.a = t2.a left join t t3 on t2.k = t3.a
select t1.a, t2.k from t t1 left join (u t2 join t t3 on t2.k = t3.a) on t1.a = t2.a
select * from t left join u using (a, s)
select a, s from t full join u using (a, s)
select count(*) from t right join u on t.a = u.a and u.v > 1
select count(*) from t a, t b, u c where a.a = b.a and b.a = c.a
select * from t where a = 1 or (a = 2 and b is null) or s in ('xy', 'q')
select * from t where not (a = 1 and b = 10)
select * from t where a is not null and not s is null
select * from t where (a, s) in ((1,'x'),(2,'y'))
select a from t where (a, b) = (1, 10)
select * from t where s between 'x' and 'xz'
select * from t where s > 'x' order by s
select s from t order by s desc nulls last
select s from t order by s nulls first limit 3
select a, c from t order by c * 2, a
select a as b, b as a from t order by a, b
select -a as a from t order by a
select a from t order by t.a desc
select distinct a, c from t order by 2, 1
select distinct a+1 from t order by a+1
select a from t group by a order by count(*) desc, a
select a, sum(b) from t group by a order by sum(b) nulls first
select a from t union select k from u order by a desc limit 3
select a from t union all select k from u union all select 7 order by 1
select a from t except select k from u union select 9
select a from t intersect select k from u
select null as x union select 1
select a, null from t union all select null, s from u
select 1 as x where 1 = 0
select count(*) from t where 1 = 0
select sum(a), count(*), max(s) from t where a > 100
select sum(a) from t where a > 100 group by s
select a::text || '-' || s from t
select cast(s as varchar), cast('12' as int) + 1, '1.5'::decimal(3,1) * 2, 1::double/3 from t
select d + a from t where a is not null
select date '2020-02-29' + interval '1' year, date '2020-01-01' + 31, date '2020-03-01' - date '2020-02-01'
select timestamp '2020-01-01 10:00:00' + interval '2' hour, date_trunc('hour', ts) from t
select d between date '2020-01-01' and date '2020-01-01' + interval '6' month from t
select d = '2020-01-01', d in ('2020-01-01', '2021-02-28'), '2020-01-01' < d, ts = '2021-05-05' from t
select year(d) * 100 + month(d) from t
select a = 1.0, c = 1.5, c > 1, a > 1.5, c in (1.5, 2.25), a in (1, 2.0) from t
select b between a and c from t
select c * c, c * 2, c * 0.10, 2.50 * c, c * a, c * b, c + a, c - 0.5, c % 2, b // 3, b % 4, c // 2 from t
select a * 1e0, f * 2, f + 1, f - c, f * f, f / 2, f > 0.3, f % 2 from t
select round(f, 1), round(c, -1), round(a, -1), floor(f), ceil(a), floor(c * 1.5) from t
select greatest(c, a), least(c, 1.5), coalesce(c, a), coalesce(a, 1.5) from t
select concat(s, '-', a), lpad(s, 3, '*'), repeat(s, 2), split_part('a-b', '-', 2), ltrim('  x'), rtrim('x  ') , md5(s) from t
select regexp_matches(s, 'x.*'), s similar to 'x', s ~ 'y', ends_with(s, 'y'), prefix(s, 'x') from t
select make_date(2020, a, 1), ascii(s), length(s || 'é') from t
select quantile_cont(b, 0.9), quantile_disc(c, 0.1), median(f), quantile(a, 0.5), median(distinct a) from t
select a, median(b) from t group by a
select sum(p), avg(p::int), count(p), sum(a) filter (where s like 'x%') from t
select any_value(a) from t where a = 1
select x from (values (1), (null), (3)) v(x) where x is not null
select * from (values (1, 1.5), (2, 2)) v(x, y) join t on t.a = v.x
select v.x from (select 1 as x union all select 2) v
select if(a > 1, 'big', null), case when a > 1 then a end, case when false then 1 else a end from t
select true and null, null or true, not null, null = 1, null is null, null + 1 from t limit 1
select "a", "T"."A" from T where t.A = 1
select A.a as "Strange Name" from t as A
select count(*) as "count", max(a) max from t
select a from t -- comment
select /* c */ a from t;
select t.* from t where t.a in (select u.a from u where u.s = t.s and u.k in (select a from t t2 where t2.b = 10 or t2.b = 20))
select (select count(*) from t t2 where t2.a < t.a and t2.a = t.a) from t
select (select sum(b) from t t2 where t2.a = t.a + 1) from t
select a, (select sum(t2.b + 1) * 2 + count(*) from t t2 where t2.a = t.a) from t
select exists (select 1 from u where false), exists (select count(*) from u where false)
select a, b from t where b = (select max(b) from t x where x.a = t.a) and a in (select a from u)
select (select max(a) from u) + (select min(a) from u)
select s from t where length(s) = (select max(length(s)) from t)
select (select a from u order by k limit 1)
select s, (select k from u where u.k = t.a and u.s = t.s) from t
select sum(x) from (select a as x from t union all select k from u)
select avg(x), sum(y) from (select a, avg(c) x, sum(b) y from t group by a)
select trim(both 'x' from s), substr(s, 1), substring(s, 2, 5), char_length(s), position('y' in s), instr(s, 'y') from t
select current_setting from (select 1 as current_setting)
select sum(a) as a, a as b from t group by all
select a, b, sum(c) from t group by all order by all
select 1 from t group by s
select max(a) from t having max(a) > 100
select a from t limit 2 offset 10
select (select max(v) from u where u.a = t.a) as m, a from t group by a having m > 1
select a, (select count(*) from u where u.a > t.a and u.k <> 3) from t group by a
select (select max(v) from u where u.a = t.a), count(*) from t group by (select max(v) from u where u.a = t.a)
select count(*) from t where a in (select a from u) group by a in (select a from u)
select a, exists (select 1 from u where u.a = t.a) from t where exists (select 1 from u where u.a = t.a) or b = 5 group by a
select t.a, x.k, y.s from t, u x right join u y on x.k = y.a
select t.a, x.k from t, u x left join e on x.a = e.a where t.a = x.a
select t.a from t, u x semi join e on x.a = e.a
select sum(c) from t group by d + interval '1' day, s
select (select count(*) from u where u.a < t.a), (select sum(k) from u where u.a <= t.a and u.s = t.s) from t
select count(*) from t where exists (select count(*) from u where u.a = t.a)
select (select t.a + max(u.k) from u where u.a = t.a) from t
select a from t where a > (select avg(k) from u where k < t.b and s = t.s) order by 1
SELECT strip_accents(s || 'é') AS x, regexp_replace(s, '[xy]', '<\0>', 'g') AS y, regexp_replace(s, '', 'z') AS z FROM t
SELECT try_strptime(s, '%Y') AS x, try_strptime('31.12.2020', '%d.%m.%Y')::DATE AS y FROM t
