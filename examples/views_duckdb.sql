-- Views on the tables that duckdb_sync.py writes. Run this file once; the views show the rows of later syncs as well.
-- They leave out deleted records. Amounts are in whole units of the currency, times are in UTC.

-- One row for each contact, with its first email address and phone number.
CREATE OR REPLACE VIEW contacts AS
SELECT c ->> 'id' AS id, lead_id, lead, c ->> 'display_name' AS name, c ->> 'title' AS title,
       c ->> '$.emails[0].email' AS email, c ->> '$.phones[0].phone' AS phone,
       (c ->> 'date_created')::TIMESTAMP AS date_created, (c ->> 'date_updated')::TIMESTAMP AS date_updated
FROM (SELECT id AS lead_id, display_name AS lead, unnest(contacts -> '$[*]') AS c
      FROM leads WHERE _ab_cdc_deleted_at IS NULL);

-- One row for each opportunity.
CREATE OR REPLACE VIEW opportunities AS
SELECT o ->> 'id' AS id, lead_id, lead, o ->> 'contact_id' AS contact_id, o ->> 'contact_name' AS contact,
       o ->> 'user_id' AS user_id, o ->> 'user_name' AS owner, o ->> 'pipeline_name' AS pipeline,
       o ->> 'status_label' AS status, o ->> 'status_type' AS status_type,
       ((o ->> 'value')::BIGINT / 100)::DECIMAL(18, 2) AS value, o ->> 'value_currency' AS currency,
       o ->> 'value_period' AS period, (o ->> 'confidence')::INTEGER AS confidence,
       ((o ->> 'expected_value')::BIGINT / 100)::DECIMAL(18, 2) AS expected_value,
       (o ->> 'date_won')::DATE AS date_won, (o ->> 'date_lost')::TIMESTAMP AS date_lost,
       (o ->> 'date_created')::TIMESTAMP AS date_created, (o ->> 'date_updated')::TIMESTAMP AS date_updated
FROM (SELECT id AS lead_id, display_name AS lead, unnest(opportunities -> '$[*]') AS o
      FROM leads WHERE _ab_cdc_deleted_at IS NULL);

-- Open opportunities by owner and status. Amounts of different currencies or periods are not added up.
CREATE OR REPLACE VIEW open_pipeline AS
SELECT user_id, owner, pipeline, status, currency, period, count(*) AS deals,
       sum(value) AS value, sum(expected_value) AS expected_value
FROM opportunities
WHERE status_type = 'active'
GROUP BY ALL;

-- One row for each custom value of a lead, contact, opportunity or custom activity, with the current name of its field.
-- `value` is text: cast it to the type in `type`. If a field accepts several values, it is a JSON list.
CREATE OR REPLACE VIEW custom_values AS
SELECT v.object_type, v.object_id, v.lead_id, f.id AS field_id, coalesce(f.name, v.field) AS field, f.type,
       CASE WHEN v.object_type = 'activity' AND f.type = 'number' AND NOT f.accepts_multiple_values
            THEN rtrim(rtrim(v.value, '0'), '.') ELSE v.value END AS value
FROM (SELECT 'lead' AS object_type, lead_id AS object_id, lead_id, one ->> 'id' AS field, one ->> 'value' AS value
      FROM (SELECT id AS lead_id, unnest(custom_fields -> '$[*]') AS one FROM leads WHERE _ab_cdc_deleted_at IS NULL)
      UNION ALL
      SELECT object_type, c ->> 'id', lead_id, key[8:], c ->> ('$."' || key || '"')
      FROM (SELECT *, unnest(json_keys(c)) AS key
            FROM (SELECT 'contact' AS object_type, id AS lead_id, unnest(contacts -> '$[*]') AS c
                  FROM leads WHERE _ab_cdc_deleted_at IS NULL
                  UNION ALL
                  SELECT 'opportunity', id, unnest(opportunities -> '$[*]')
                  FROM leads WHERE _ab_cdc_deleted_at IS NULL))
      WHERE starts_with(key, 'custom.')
      UNION ALL
      SELECT 'activity', id, lead_id, key[8:], a ->> key
      FROM (SELECT id, lead_id, to_json(activities) AS a, unnest(json_keys(to_json(activities))) AS key
            FROM activities WHERE _type = 'CustomActivity' AND _ab_cdc_deleted_at IS NULL)
      WHERE regexp_matches(key, '^custom_l?cf_')) AS v
-- Column names contain the id of the field in lower case.
LEFT JOIN custom_fields AS f ON lower(f.id) = lower(v.field)
WHERE v.value IS NOT NULL;

-- One row for each day and user. `activities` counts all types; `meetings` counts the meetings that took place.
CREATE OR REPLACE VIEW activities_by_day AS
SELECT coalesce(a.activity_at, a.date_created)::DATE AS day, a.user_id, u.email,
       count(*) FILTER (a._type = 'Call') AS calls,
       coalesce(sum(a.duration) FILTER (a._type = 'Call'), 0) / 60 AS call_minutes,
       count(*) FILTER (a._type = 'Email' AND a.status = 'sent') AS emails_sent,
       count(*) FILTER (a._type = 'Email' AND a.direction = 'incoming') AS emails_received,
       count(*) FILTER (a._type = 'SMS' AND a.status IN ('sent', 'inbox') OR a._type = 'WhatsAppMessage') AS text_messages,
       count(*) FILTER (a._type = 'Meeting' AND a.status = 'completed') AS meetings,
       count(*) FILTER (a._type = 'Note') AS notes,
       count(*) FILTER (a._type = 'TaskCompleted') AS tasks_completed,
       count(*) AS activities
FROM activities AS a LEFT JOIN users AS u ON u.id = a.user_id
WHERE a._ab_cdc_deleted_at IS NULL
  -- Activities of these types stay in the table when their lead is deleted: Close does not log their deletion.
  AND (a._type NOT IN ('Created', 'ImportUpdate')
       OR a.lead_id IN (SELECT id FROM leads WHERE _ab_cdc_deleted_at IS NULL))
GROUP BY ALL;
