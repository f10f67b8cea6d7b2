# jq -n --slurpfile api openapi.json --slurpfile body answer.json --arg path PATH --arg method get --arg status 200 -f openapi.jq
#
# Prints each way in which the answer is not what openapi.json says of it; nothing where it is.
# Knows the part of JSON Schema that openapi.json uses, and fails for any other word.
def kind: if type == "number" then (if . == floor then "integer" else "number" end) else type end;

def check($schema; $at):
  . as $value
  | ($schema | keys - ["type", "required", "additionalProperties", "properties", "items", "enum", "nullable", "format",
                       "description", "$ref"]) as $strange
  | if $strange != [] then "openapi.jq does not know \($strange[0])"
    elif $schema["$ref"] then check($api[0] | getpath($schema["$ref"] | split("/")[1:]); $at)
    elif $value == null then if $schema.nullable then empty else "\($at) is null" end
    elif $schema.type and ($value | kind) != $schema.type and [$schema.type, ($value | kind)] != ["number", "integer"] then "\($at) is \($value | kind), not \($schema.type)"
    elif $schema.enum and ([$value] | inside($schema.enum) | not) then "\($at) is \($value), not among \($schema.enum)"
    elif $schema.format == "date-time" and ($value | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$") | not)
      then "\($at) is \($value), no time"
    elif $schema.type == "array" then range($value | length) as $i | $value[$i] | check($schema.items; "\($at)[\($i)]")
    elif $schema.type == "object" then
      ($schema.properties // {}) as $known
      | (($schema.required // [])[] | select(. as $name | $value | has($name) | not) | "\($at).\(.) is missing"),
        ($value | keys[] | . as $name
         | if $known[$name] then $value[$name] | check($known[$name]; "\($at).\($name)")
           elif $schema.additionalProperties == false then "\($at).\($name) is not in openapi.json"
           elif ($schema.additionalProperties | type) == "object"
             then $value[$name] | check($schema.additionalProperties; "\($at).\($name)")
           else empty end)
    else empty end;

$api[0].paths[$path][$method].responses[$status] as $response
| if $response == null then "openapi.json does not know \($method) \($path) \($status)"
  else $body[0] | check($response.content["application/json"].schema; "answer")
  end
